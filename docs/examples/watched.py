"""A Dag that runs when somebody's training has succeeded."""

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow.providers.databricks_air.triggers.finished import AirRunFinished

trained = AirRunFinished(experiment="nightly-*", polling_interval=10)
model = Asset("nightly_model", watchers=[AssetWatcher(name="nightly", trigger=trained)])

with DAG("evaluate", schedule=[model]):

    @task
    def evaluate(triggering_asset_events=None):
        """Evaluate the models of these runs."""
        for event in triggering_asset_events[model]:
            print(event.extra["payload"]["mlflow_run_id"])  # noqa: T201 - into the task's log

    evaluate()
