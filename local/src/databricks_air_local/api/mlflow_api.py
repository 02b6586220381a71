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

from databricks_air_local.api.mlflow_search import EXPERIMENTS, RUNS, search
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import malformed, missing, refuse
from databricks_air_local.state.mlflow import pairs

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]

_LARGEST_PAGE = 50_000
_STAGES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


def create_experiment(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/experiments/create``."""
    body = request.json()
    experiment_id = ws.mlflow.create_experiment(_text(body, "name"), _text(body, "artifact_location", ""))
    return {"experiment_id": experiment_id}


def get_experiment(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/experiments/get``."""
    return {"experiment": _experiment(ws.mlflow.experiment(request.text("experiment_id")))}


def get_experiment_by_name(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/experiments/get-by-name``."""
    return {"experiment": _experiment(ws.mlflow.experiment_named(request.text("experiment_name")))}


def search_experiments(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET`` or ``POST /api/2.0/mlflow/experiments/search`` and ``list``; the newest first unless told."""
    body = request.json() if request.method == "POST" else _query(request)
    stages = _stages(body, "view_type")
    found = [item for item in ws.mlflow.experiments.values() if item["lifecycle_stage"] in stages]
    rows = [{"attributes": item, "tags": item["tags"]} for item in found]
    page, more = search(body, rows, EXPERIMENTS, "creation_time")
    return {"experiments": [_experiment(found[position]) for position in page], **more}


def _query(request: Request) -> dict[str, Any]:
    return {
        name: values if name == "order_by" else values[-1] for name, values in request.query.items() if values
    }


def _stages(body: dict[str, Any], name: str) -> tuple[str, ...]:
    view = _text(body, name, "ACTIVE_ONLY") or "ACTIVE_ONLY"
    if view not in _STAGES:
        raise refuse(f"{name} '{view[:40]}' is not one of {', '.join(_STAGES)}")
    return _STAGES[view]


def change_experiment(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/experiments/{delete,restore,set-experiment-tag}``."""
    body = request.json()
    experiment = ws.mlflow.experiment(_text(body, "experiment_id"))
    verb = request.path.rpartition("/")[2]
    if verb == "set-experiment-tag":
        experiment["tags"][_text(body, "key")] = _text(body, "value", "")
    else:
        experiment["lifecycle_stage"] = "deleted" if verb == "delete" else "active"
    ws.mlflow.save_experiment(experiment)
    return {}


def create_run(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/create``."""
    body = request.json()
    tags = _pairs(body, "tags")
    name = _text(body, "run_name", "") or tags.get("mlflow.runName", "") or "run"
    start = body.get("start_time") or int(ws.clock.now() * 1000)
    if not isinstance(start, int):
        raise malformed("Could not parse request object: start_time must be an integer")
    run = ws.mlflow.create_run(_text(body, "experiment_id", "0"), name, start, tags)
    return {"run": ws.mlflow.view(run)}


def get_run(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/runs/get``."""
    return {"run": ws.mlflow.view(ws.mlflow.run(request.text("run_id", "") or request.text("run_uuid")))}


def update_run(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/update``: status, end time and name."""
    body = request.json()
    run = ws.mlflow.run(_run_id(body))
    status = _text(body, "status", "")
    if status and status not in _STATUSES:
        raise refuse(f"status '{status[:40]}' is not one of {', '.join(_STATUSES)}")
    if status:
        run["info"]["status"] = status
    if isinstance(body.get("end_time"), int):
        run["info"]["end_time"] = body["end_time"]
    if body.get("run_name"):
        run["info"]["run_name"] = run["tags"]["mlflow.runName"] = _text(body, "run_name")
    ws.mlflow.save_run(run)
    return {"run_info": run["info"]}


def log_batch(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/log-batch``."""
    body = request.json()
    run = ws.mlflow.run(_run_id(body))
    metrics = body.get("metrics") or []
    if not isinstance(metrics, list):
        raise malformed("Could not parse request object: metrics must be an array")
    params, tags = _pairs(body, "params"), _pairs(body, "tags")
    ws.mlflow.log_points(run["info"]["run_id"], metrics)
    _change(ws, run, params, tags)
    return {}


def log_metric(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/log-metric``."""
    body = request.json()
    ws.mlflow.log_points(ws.mlflow.run(_run_id(body))["info"]["run_id"], [body])
    return {}


def log_parameter(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/log-parameter``: a value that is there cannot change."""
    body = request.json()
    _change(ws, ws.mlflow.run(_run_id(body)), {_text(body, "key"): _text(body, "value", "")}, {})
    return {}


def set_tag(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/set-tag``."""
    body = request.json()
    _change(ws, ws.mlflow.run(_run_id(body)), {}, {_text(body, "key"): _text(body, "value", "")})
    return {}


def delete_tag(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/delete-tag``."""
    body = request.json()
    run = ws.mlflow.run(_run_id(body))
    if run["tags"].pop(_text(body, "key"), None) is None:
        raise missing(f"No tag with name: {body['key'][:200]} in run with id {run['info']['run_id']}")
    ws.mlflow.save_run(run)
    return {}


def change_run(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/{delete,restore}``: searches show it no more, or again."""
    run = ws.mlflow.run(_run_id(request.json()))
    run["info"]["lifecycle_stage"] = "deleted" if request.path.endswith("/delete") else "active"
    ws.mlflow.save_run(run)
    return {}


class _Row(dict[str, Any]):
    """A run as a search sees it; its metrics are read when a clause asks for them."""

    def __init__(self, ws: Workspace, run: dict[str, Any]) -> None:
        super().__init__(params=run["params"], tags=run["tags"], attributes=run["info"])
        self._ws = ws

    def __missing__(self, kind: str) -> dict[str, float]:
        self[kind] = self._ws.mlflow.last_values(self["attributes"]["run_id"])
        found: dict[str, float] = self[kind]
        return found


def search_runs(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/runs/search``: the runs of some experiments, newest first unless told."""
    body = request.json()
    wanted = body.get("experiment_ids") or []
    if not isinstance(wanted, list):
        raise malformed("Could not parse request object: experiment_ids must be an array")
    ids, stages = {str(item) for item in wanted}, _stages(body, "run_view_type")
    found = [
        run
        for run in ws.mlflow.runs.values()
        if run["info"]["experiment_id"] in ids and run["info"]["lifecycle_stage"] in stages
    ]
    page, more = search(body, [_Row(ws, run) for run in found], RUNS, "start_time")
    return {"runs": [ws.mlflow.view(found[position]) for position in page], **more}


def metric_history(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/metrics/get-history``."""
    run = ws.mlflow.run(request.text("run_id", "") or request.text("run_uuid"))
    size = request.number("max_results", _LARGEST_PAGE)
    start = request.number("page_token", 0)
    if size < 1 or start < 0:
        raise refuse("max_results and page_token must be positive")
    points = ws.mlflow.history(run["info"]["run_id"], request.text("metric_key"))
    answer: dict[str, Any] = {"metrics": points[start : start + size]}
    if len(points) > start + size:
        answer["next_page_token"] = str(start + size)
    return answer


def accept(_ws: Workspace, request: Request) -> dict[str, Any]:
    """Accept what clients log beside, and keep nothing of it: datasets and models."""
    request.json()
    return {}


def no_models(_ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/mlflow/logged-models/search``: none are kept; clients ask before they download artifacts."""
    request.json()
    return {"models": []}


def _change(ws: Workspace, run: dict[str, Any], params: dict[str, str], tags: dict[str, str]) -> None:
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
    ws.mlflow.save_run(run)


def _run_id(body: dict[str, Any]) -> str:
    return _text(body, "run_id", "") or _text(body, "run_uuid")


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if value is None or (value == "" and default is None):
        raise refuse(f"Missing required field: {name}")
    if not isinstance(value, str):
        raise malformed(f"Could not parse request object: {name} must be a string")
    return value


def _pairs(body: dict[str, Any], name: str) -> dict[str, str]:
    items = body.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise malformed(f"Could not parse request object: {name} must be an array of objects")
    return {_text(item, "key"): _text(item, "value", "") for item in items}


def _experiment(experiment: dict[str, Any]) -> dict[str, Any]:
    return {**experiment, "tags": pairs(experiment["tags"])}


_MLFLOW = "/api/2.0/mlflow"
ROUTES = [
    Route("POST", f"{_MLFLOW}/experiments/create", create_experiment),
    Route("GET", f"{_MLFLOW}/experiments/get", get_experiment),
    Route("GET", f"{_MLFLOW}/experiments/get-by-name", get_experiment_by_name),
    Route("GET", f"{_MLFLOW}/experiments/search", search_experiments),
    Route("POST", f"{_MLFLOW}/experiments/search", search_experiments),
    Route("GET", f"{_MLFLOW}/experiments/list", search_experiments),
    *(
        Route("POST", f"{_MLFLOW}/experiments/{verb}", change_experiment)
        for verb in ("delete", "restore", "set-experiment-tag")
    ),
    Route("POST", f"{_MLFLOW}/runs/create", create_run),
    Route("GET", f"{_MLFLOW}/runs/get", get_run),
    Route("POST", f"{_MLFLOW}/runs/update", update_run),
    Route("POST", f"{_MLFLOW}/runs/log-batch", log_batch),
    Route("POST", f"{_MLFLOW}/runs/log-metric", log_metric),
    Route("POST", f"{_MLFLOW}/runs/log-parameter", log_parameter),
    Route("POST", f"{_MLFLOW}/runs/set-tag", set_tag),
    Route("POST", f"{_MLFLOW}/runs/delete-tag", delete_tag),
    *(Route("POST", f"{_MLFLOW}/runs/{verb}", change_run) for verb in ("delete", "restore")),
    Route("POST", f"{_MLFLOW}/runs/search", search_runs),
    Route("POST", f"{_MLFLOW}/runs/log-inputs", accept),
    Route("POST", f"{_MLFLOW}/runs/outputs", accept),
    Route("POST", f"{_MLFLOW}/runs/log-model", accept),
    Route("POST", f"{_MLFLOW}/logged-models/search", no_models),
    Route("GET", f"{_MLFLOW}/metrics/get-history", metric_history),
]
