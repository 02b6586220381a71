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
"""Experiments, their runs, and what is logged to them."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.refusals import Refusal, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.state.store import Store

__all__ = ["SPECIAL_VALUES", "Mlflow", "on_volume", "pairs"]

_STATUS = {"SUCCESS": "FINISHED", "CANCELED": "KILLED", "TIMEDOUT": "KILLED"}
SPECIAL_VALUES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Mlflow:
    """The tracking server's state.

    An experiment is a document with ``experiment_id``, ``name``, ``artifact_location``, ``lifecycle_stage``
    and ``tags``; a run is one with ``info``, ``params`` and ``tags``. Points of metrics have their own table.
    """

    def __init__(self, store: Store, clock: Clock, user: str) -> None:
        self._store = store
        self._clock = clock
        self._user = user
        self.experiments: dict[str, dict[str, Any]] = dict(self._store.all("experiments"))
        self.runs: dict[str, dict[str, Any]] = dict(self._store.all("mlflow_runs"))
        self._by_name = {item["name"]: item["experiment_id"] for item in self.experiments.values()}

    def begin(self, run: Run, attempt: Attempt) -> tuple[str, str]:
        """Return the experiment id and the MLflow run id of a new attempt."""
        directory = run.air.get("mlflow_experiment_directory") or f"/Users/{run.user}"
        name = f"{directory.rstrip('/').removeprefix('/Workspace')}/{run.experiment}"
        experiment_id = self._by_name.get(name)
        if experiment_id is None or self.experiments[experiment_id]["lifecycle_stage"] != "active":
            experiment_id = self.create_experiment(name, run.air.get("mlflow_artifact_location") or "")
        tags = {"mlflow.user": run.user, "mlflow.databricks.jobRunID": str(run.run_id)}
        tags["mlflow.databricks.taskRunID"] = str(attempt.run_id)
        shown = run.air.get("mlflow_run") or run.experiment
        made = self.create_run(experiment_id, str(shown), self._now(), tags)
        return experiment_id, str(made["info"]["run_id"])

    def end(self, mlflow_run_id: str, result: str) -> None:
        """Close the MLflow run of an attempt, unless its command did."""
        run = self.runs.get(mlflow_run_id)
        if run is not None and run["info"]["status"] == "RUNNING":
            run["info"].update(status=_STATUS.get(result, "FAILED"), end_time=self._now())
            self.save_run(run)

    def log_script(self, mlflow_run_id: str, script: dict[str, Any]) -> None:
        """Log the metrics and parameters that a test said; a list holds the values of steps 0, 1, 2 …"""
        run = self.run(mlflow_run_id)
        run["params"].update({key: str(value) for key, value in script.get("params", {}).items()})
        self.save_run(run)
        now = self._now()
        for key, values in script.get("metrics", {}).items():
            points = values if isinstance(values, list) else [values]
            self.log_points(
                mlflow_run_id,
                [
                    {"key": key, "value": value, "timestamp": now, "step": step}
                    for step, value in enumerate(points)
                ],
            )

    def experiment(self, experiment_id: object) -> dict[str, Any]:
        """Return an experiment.

        :raises Refusal: 404 when there is none.
        """
        found = self.experiments.get(str(experiment_id))
        if found is None:
            raise missing(f"Could not find experiment with ID {str(experiment_id)[:100]}")
        return found

    def experiment_named(self, name: str) -> dict[str, Any]:
        """Return an experiment by its name, with or without ``/Workspace``.

        :raises Refusal: 404 when there is none.
        """
        experiment_id = self._by_name.get(name.removeprefix("/Workspace"))
        if experiment_id is None:
            raise missing(f"Could not find experiment with name '{name[:300]}'")
        return self.experiments[experiment_id]

    def create_experiment(self, name: str, artifact_location: str = "") -> str:
        """Make an experiment and return its id.

        :raises Refusal: when the name is taken.
        """
        name = name.removeprefix("/Workspace")
        if name in self._by_name:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Node named '{name[:300]}' already exists")
        experiment_id = str(self._store.next_id())
        now = self._now()
        self.experiments[experiment_id] = {
            "experiment_id": experiment_id,
            "name": name,
            "artifact_location": artifact_location or f"dbfs:/databricks/mlflow-tracking/{experiment_id}",
            "lifecycle_stage": "active",
            "creation_time": now,
            "last_update_time": now,
            "tags": {},
        }
        self._by_name[name] = experiment_id
        self.save_experiment(self.experiments[experiment_id])
        return experiment_id

    def save_experiment(self, experiment: dict[str, Any]) -> None:
        """Write an experiment through."""
        self._store.put("experiments", experiment["experiment_id"], experiment)

    def run(self, run_id: object) -> dict[str, Any]:
        """Return a run.

        :raises Refusal: 404 when there is none.
        """
        found = self.runs.get(str(run_id))
        if found is None:
            raise missing(f"Run '{str(run_id)[:100]}' not found.")
        return found

    def create_run(self, experiment_id: str, name: str, start: int, tags: dict[str, str]) -> dict[str, Any]:
        """Make a run in an experiment.

        :param start: milliseconds since the epoch.
        """
        run_id = uuid.uuid4().hex
        location = self.experiment(experiment_id)["artifact_location"].rstrip("/")
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "run_name": name,
            "experiment_id": experiment_id,
            "user_id": self._user,
            "status": "RUNNING",
            "start_time": start,
            "lifecycle_stage": "active",
            "artifact_uri": f"{location}/{run_id}/artifacts",
        }
        self.runs[run_id] = {"info": info, "params": {}, "tags": {"mlflow.runName": name, **tags}}
        self.save_run(self.runs[run_id])
        return self.runs[run_id]

    def keeps(self, path: str) -> bool:
        """Return whether a path on a Volume lies among the artifacts of an experiment."""
        roots = (on_volume(experiment["artifact_location"]) for experiment in self.experiments.values())
        return any(root and path.startswith(f"{root}/") for root in roots)

    def save_run(self, run: dict[str, Any]) -> None:
        """Write a run through."""
        self._store.put("mlflow_runs", run["info"]["run_id"], run)

    def forget(self, run_id: str) -> None:
        """Remove a run and its metrics, if it is there."""
        if self.runs.pop(run_id, None) is not None:
            self._store.delete("mlflow_runs", run_id)
            self._store.drop_points(run_id)

    def log_points(self, run_id: str, metrics: Iterable[Any]) -> None:
        """Append points of metrics.

        :param metrics: mappings with ``key``, ``value``, ``timestamp`` (milliseconds) and ``step``.
        :raises Refusal: when one of them is not such a mapping.
        """
        self._store.add_points(run_id, [_point(metric) for metric in metrics])

    def view(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return a run as the REST API shows it, with the last point of each metric."""
        run_id = run["info"]["run_id"]
        data = {
            "metrics": [_metric(key, point) for key, point in self._store.last_points(run_id)],
            "params": pairs(run["params"]),
            "tags": pairs(run["tags"]),
        }
        return {"info": run["info"], "data": data, "inputs": {}, "outputs": {}}

    def history(self, run_id: str, key: str) -> list[dict[str, Any]]:
        """Return all points of one metric in the order they were logged."""
        return [_metric(key, point) for point in self._store.points(run_id, key)]

    def _now(self) -> int:
        return int(self._clock.now() * 1000)

    def last_values(self, run_id: str) -> dict[str, float]:
        """Return the last value of each of a run's metrics."""
        points = self._store.last_points(run_id)
        return {key: math.nan if value is None else value for key, (value, _, _) in points}


def on_volume(uri: str) -> str:
    """Return the directory that a URI of artifacts names on a Volume; empty when they lie elsewhere."""
    return uri.removeprefix("dbfs:").rstrip("/") if uri.startswith("dbfs:/Volumes/") else ""


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    """Return a mapping as MLflow's list of keys and values."""
    return [{"key": key, "value": value} for key, value in values.items()]


def _metric(key: str, point: tuple[float | None, int, int]) -> dict[str, Any]:
    value, timestamp, step = point
    shown: float | str = "NaN" if value is None else value
    if value is not None and math.isinf(value):
        shown = "Infinity" if value > 0 else "-Infinity"
    return {"key": key, "value": shown, "timestamp": timestamp, "step": step}


def _point(metric: object) -> tuple[str, float, int, int]:
    if not isinstance(metric, dict) or not isinstance(metric.get("key"), str) or not metric["key"]:
        raise refuse("A metric needs a key")
    try:
        value = metric["value"]
        number = SPECIAL_VALUES[value] if value in SPECIAL_VALUES else float(value)
        timestamp, step = int(metric.get("timestamp") or 0), int(metric.get("step") or 0)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise refuse(f"Metric '{metric['key'][:250]}' needs a numeric value, timestamp and step") from None
    if not all(-(2**63) <= number < 2**63 for number in (timestamp, step)):
        raise refuse(f"Metric '{metric['key'][:250]}': timestamp and step must be 64-bit integers")
    return metric["key"], number, timestamp, step
