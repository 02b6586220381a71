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
"""The MLflow REST API that clients use to log and to read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.api.mlflow.search import EXPERIMENTS, RUNS, search
from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import malformed, missing, refuse
from databricks_air_local.state.mlflow import pairs

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.mlflow import Mlflow

__all__ = ["Tracking"]

_LARGEST_PAGE = 50_000
_STAGES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")

_MLFLOW = "/api/2.0/mlflow"


def _query(request: Request) -> dict[str, Any]:
    return {
        name: values if name == "order_by" else values[-1] for name, values in request.query.items() if values
    }


def _stages(body: dict[str, Any], name: str) -> tuple[str, ...]:
    view = _text(body, name, "ACTIVE_ONLY") or "ACTIVE_ONLY"
    if view not in _STAGES:
        raise refuse(f"{name} '{view[:40]}' is not one of {', '.join(_STAGES)}")
    return _STAGES[view]


class _Row(dict[str, Any]):
    """A run as a search sees it; its metrics are read when a clause asks for them."""

    def __init__(self, mlflow: Mlflow, run: dict[str, Any]) -> None:
        super().__init__(params=run["params"], tags=run["tags"], attributes=run["info"])
        self._mlflow = mlflow

    def __missing__(self, kind: str) -> dict[str, float]:
        self[kind] = self._mlflow.last_values(self["attributes"]["run_id"])
        found: dict[str, float] = self[kind]
        return found


def _run_id(body: dict[str, Any]) -> str:
    return _text(body, "run_id", "") or _text(body, "run_uuid")


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if value is None or (value == "" and default is None):
        raise refuse(f"Missing required field: {name}")
    if not isinstance(value, str):
        raise malformed(f"{name} must be a string")
    return value


def _pairs(body: dict[str, Any], name: str) -> dict[str, str]:
    items = body.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise malformed(f"{name} must be an array of objects")
    return {_text(item, "key"): _text(item, "value", "") for item in items}


def _experiment(experiment: dict[str, Any]) -> dict[str, Any]:
    return {**experiment, "tags": pairs(experiment["tags"])}


class Tracking:
    """Experiments, runs, metrics, parameters and tags."""

    def __init__(self, mlflow: Mlflow, inventory: Inventory, clock: Clock) -> None:
        self._mlflow = mlflow
        self._inventory = inventory
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", f"{_MLFLOW}/experiments/create", self.create_experiment),
            route("GET", f"{_MLFLOW}/experiments/get", self.get_experiment),
            route("GET", f"{_MLFLOW}/experiments/get-by-name", self.get_experiment_by_name),
            route("GET", f"{_MLFLOW}/experiments/search", self.search_experiments),
            route("POST", f"{_MLFLOW}/experiments/search", self.search_experiments),
            route("GET", f"{_MLFLOW}/experiments/list", self.search_experiments),
            *(
                route("POST", f"{_MLFLOW}/experiments/{verb}", self.change_experiment)
                for verb in ("delete", "restore", "set-experiment-tag")
            ),
            route("POST", f"{_MLFLOW}/runs/create", self.create_run),
            route("GET", f"{_MLFLOW}/runs/get", self.get_run),
            route("POST", f"{_MLFLOW}/runs/update", self.update_run),
            route("POST", f"{_MLFLOW}/runs/log-batch", self.log_batch),
            route("POST", f"{_MLFLOW}/runs/log-metric", self.log_metric),
            route("POST", f"{_MLFLOW}/runs/log-parameter", self.log_parameter),
            route("POST", f"{_MLFLOW}/runs/set-tag", self.set_tag),
            route("POST", f"{_MLFLOW}/runs/delete-tag", self.delete_tag),
            *(route("POST", f"{_MLFLOW}/runs/{verb}", self.change_run) for verb in ("delete", "restore")),
            route("POST", f"{_MLFLOW}/runs/search", self.search_runs),
            route("POST", f"{_MLFLOW}/runs/log-inputs", self.accept),
            route("POST", f"{_MLFLOW}/runs/outputs", self.accept),
            route("POST", f"{_MLFLOW}/runs/log-model", self.accept),
            route("POST", f"{_MLFLOW}/logged-models/search", self.no_models),
            route("GET", f"{_MLFLOW}/metrics/get-history", self.metric_history),
        ]

    def create_experiment(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/experiments/create``."""
        body = request.json()
        location = _text(body, "artifact_location", "")
        self._inventory.check_location(location)
        return {"experiment_id": self._mlflow.create_experiment(_text(body, "name"), location)}

    def get_experiment(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/mlflow/experiments/get``."""
        return {"experiment": _experiment(self._mlflow.experiment(request.text("experiment_id")))}

    def get_experiment_by_name(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/mlflow/experiments/get-by-name``."""
        return {"experiment": _experiment(self._mlflow.experiment_named(request.text("experiment_name")))}

    def search_experiments(self, request: Request) -> dict[str, Any]:
        """``GET`` or ``POST /api/2.0/mlflow/experiments/search`` and ``list``; the newest first unless told."""
        body = request.json() if request.method == "POST" else _query(request)
        stages = _stages(body, "view_type")
        found = [item for item in self._mlflow.experiments.values() if item["lifecycle_stage"] in stages]
        rows = [{"attributes": item, "tags": item["tags"]} for item in found]
        page, more = search(body, rows, EXPERIMENTS, "creation_time")
        return {"experiments": [_experiment(found[position]) for position in page], **more}

    def change_experiment(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/experiments/{delete,restore,set-experiment-tag}``."""
        body = request.json()
        experiment = self._mlflow.experiment(_text(body, "experiment_id"))
        verb = request.path.rpartition("/")[2]
        if verb == "set-experiment-tag":
            experiment["tags"][_text(body, "key")] = _text(body, "value", "")
        else:
            experiment["lifecycle_stage"] = "deleted" if verb == "delete" else "active"
        self._mlflow.save_experiment(experiment)
        return {}

    def create_run(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/create``."""
        body = request.json()
        tags = _pairs(body, "tags")
        name = _text(body, "run_name", "") or tags.get("mlflow.runName", "") or "run"
        start = body.get("start_time") or int(self._clock.now() * 1000)
        if not isinstance(start, int):
            raise malformed("start_time must be an integer")
        run = self._mlflow.create_run(_text(body, "experiment_id", "0"), name, start, tags)
        return {"run": self._mlflow.view(run)}

    def get_run(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/mlflow/runs/get``."""
        return {
            "run": self._mlflow.view(self._mlflow.run(request.text("run_id", "") or request.text("run_uuid")))
        }

    def update_run(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/update``: status, end time and name."""
        body = request.json()
        run = self._mlflow.run(_run_id(body))
        status = _text(body, "status", "")
        if status and status not in _STATUSES:
            raise refuse(f"status '{status[:40]}' is not one of {', '.join(_STATUSES)}")
        if status:
            run["info"]["status"] = status
        if isinstance(body.get("end_time"), int):
            run["info"]["end_time"] = body["end_time"]
        if body.get("run_name"):
            run["info"]["run_name"] = run["tags"]["mlflow.runName"] = _text(body, "run_name")
        self._mlflow.save_run(run)
        return {"run_info": run["info"]}

    def log_batch(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/log-batch``."""
        body = request.json()
        run = self._mlflow.run(_run_id(body))
        metrics = body.get("metrics") or []
        if not isinstance(metrics, list):
            raise malformed("metrics must be an array")
        params, tags = _pairs(body, "params"), _pairs(body, "tags")
        self._mlflow.log_points(run["info"]["run_id"], metrics)
        self._change(run, params, tags)
        return {}

    def log_metric(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/log-metric``."""
        body = request.json()
        self._mlflow.log_points(self._mlflow.run(_run_id(body))["info"]["run_id"], [body])
        return {}

    def log_parameter(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/log-parameter``: a value that is there cannot change."""
        body = request.json()
        self._change(self._mlflow.run(_run_id(body)), {_text(body, "key"): _text(body, "value", "")}, {})
        return {}

    def set_tag(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/set-tag``."""
        body = request.json()
        self._change(self._mlflow.run(_run_id(body)), {}, {_text(body, "key"): _text(body, "value", "")})
        return {}

    def delete_tag(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/delete-tag``."""
        body = request.json()
        run = self._mlflow.run(_run_id(body))
        if run["tags"].pop(_text(body, "key"), None) is None:
            raise missing(f"No tag with name: {body['key'][:200]} in run with id {run['info']['run_id']}")
        self._mlflow.save_run(run)
        return {}

    def change_run(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/{delete,restore}``: searches show it no more, or again."""
        run = self._mlflow.run(_run_id(request.json()))
        run["info"]["lifecycle_stage"] = "deleted" if request.path.endswith("/delete") else "active"
        self._mlflow.save_run(run)
        return {}

    def search_runs(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/runs/search``: the runs of some experiments, newest first unless told."""
        body = request.json()
        wanted = body.get("experiment_ids") or []
        if not isinstance(wanted, list):
            raise malformed("experiment_ids must be an array")
        ids, stages = {str(item) for item in wanted}, _stages(body, "run_view_type")
        found = [
            run
            for run in self._mlflow.runs.values()
            if run["info"]["experiment_id"] in ids and run["info"]["lifecycle_stage"] in stages
        ]
        page, more = search(body, [_Row(self._mlflow, run) for run in found], RUNS, "start_time")
        return {"runs": [self._mlflow.view(found[position]) for position in page], **more}

    def metric_history(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/mlflow/metrics/get-history``."""
        run = self._mlflow.run(request.text("run_id", "") or request.text("run_uuid"))
        size = request.number("max_results", _LARGEST_PAGE)
        start = request.number("page_token", 0)
        if size < 1 or start < 0:
            raise refuse("max_results and page_token must be positive")
        points = self._mlflow.history(run["info"]["run_id"], request.text("metric_key"))
        answer: dict[str, Any] = {"metrics": points[start : start + size]}
        if len(points) > start + size:
            answer["next_page_token"] = str(start + size)
        return answer

    def accept(self, request: Request) -> dict[str, Any]:
        """Accept what clients log beside, and keep nothing of it: datasets and models."""
        request.json()
        return {}

    def no_models(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/mlflow/logged-models/search``: none are kept; clients ask before they download artifacts."""
        request.json()
        return {"models": []}

    def _change(self, run: dict[str, Any], params: dict[str, str], tags: dict[str, str]) -> None:
        for key, value in params.items():
            if run["params"].get(key, value) != value:
                old = run["params"][key]
                raise refuse(
                    f"Changing param values is not allowed. Param with key='{key[:200]}' was already logged with "
                    f"value='{old[:200]}' for run ID='{run['info']['run_id']}'. "
                    f"Attempted logging new value '{value[:200]}'."
                )
        run["params"].update(params)
        run["tags"].update(tags)
        if "mlflow.runName" in tags:
            run["info"]["run_name"] = tags["mlflow.runName"]
        self._mlflow.save_run(run)
