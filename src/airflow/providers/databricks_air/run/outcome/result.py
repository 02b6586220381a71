# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""What a finished run hands on to downstream tasks."""

from __future__ import annotations

from typing import Any

from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["mlflow_url", "page_url", "run_result"]


def page_url(host: str, run: Run) -> str:
    """Return the page of a run for people.

    :param host: the workspace URL.
    :param run: the run; its own word on the matter comes first.
    """
    return run.page_url or f"{host}/jobs/runs/{run.run_id}"


def mlflow_url(host: str, experiment_id: str, mlflow_run_id: str) -> str | None:
    """Return the page of an MLflow run for people; None when an id is missing.

    :param host: the workspace URL.
    :param experiment_id: id of the MLflow experiment.
    :param mlflow_run_id: id of the MLflow run.
    """
    if not experiment_id or not mlflow_run_id:
        return None
    return f"{host}/ml/experiments/{experiment_id}/runs/{mlflow_run_id}"


def run_result(
    host: str, run: Run, mlflow_experiment_id: str = "", mlflow_run_id: str = ""
) -> dict[str, Any]:
    """Return the result as plain JSON values.

    :param host: the workspace URL.
    :param run: as it was seen last.
    :param mlflow_experiment_id: empty when unknown.
    :param mlflow_run_id: of the latest attempt; empty when unknown.
    """
    latest = run.latest
    started = (latest.start_time if latest else 0) or run.start_time
    ended = (latest.end_time if latest else 0) or run.end_time
    return {
        "run_id": run.run_id,
        "state": run.state.word,
        "experiment_name": run.name,
        "attempts": len(run.attempts),
        "run_page_url": page_url(host, run),
        "mlflow_experiment_id": mlflow_experiment_id or None,
        "mlflow_run_id": mlflow_run_id or None,
        "mlflow_url": mlflow_url(host, mlflow_experiment_id, mlflow_run_id),
        "duration_seconds": round((ended - started) / 1000, 3) if started and ended >= started else None,
    }
