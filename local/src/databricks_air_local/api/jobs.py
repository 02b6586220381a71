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
"""The Jobs API: submit, get, get-output, cancel, list, delete."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from databricks_air_local.api.submission import check_submission
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import integer, malformed, refuse
from databricks_air_local.state.runs import Attempt, Run, run_json

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]

_LARGEST_LIST = 25


def submit(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.2/jobs/runs/submit``: a known token gives the run it made, whatever the body says."""
    body = request.json()
    token = body.get("idempotency_token")
    known = ws.by_token.get(token) if isinstance(token, str) else None
    if known is not None:
        if ws.runs[known].deleted:
            raise refuse(f"The run of idempotency token {token!r} was deleted.")
        return {"run_id": known}
    check_submission(body, ws.readable)
    now = int(ws.clock.now() * 1000)
    run = Run(ws.store.next_id(), ws.store.next_id(), body, ws.settings.user, now)
    run.attempts.append(Attempt(ws.store.next_id(), 0, created=now))
    run.plan = ws.behaviours.plan(run)
    ws.save(run)
    ws.lifecycle.start(run)
    return {"run_id": run.run_id}


def get(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.2/jobs/runs/get``."""
    return run_json(ws.run(_run_id(request)), ws.url, ws.settings.workspace_id)


def get_output(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.2/jobs/runs/get-output``: of a task run; a run's id answers for its first attempt."""
    run_id = request.number("run_id")
    run = ws.run(run_id)
    attempt = run.attempts[ws.tasks[run_id][1] if run_id in ws.tasks else 0]
    shown = run_json(run, ws.url, ws.settings.workspace_id)
    metadata = dict(shown, **shown["tasks"][attempt.number], tasks=shown["tasks"])
    answer: dict[str, Any] = {"metadata": metadata}
    output = {}
    if attempt.mlflow_run_id:
        output = {"mlflow_experiment_id": attempt.experiment_id, "mlflow_run_id": attempt.mlflow_run_id}
    if attempt.status:
        output["status_message"] = attempt.status if ":" in attempt.status else f"STATUS:{attempt.status}"
    if output:
        answer["ai_runtime_task_output"] = output
    if attempt.result == "FAILED":
        answer["error"] = shown["tasks"][attempt.number]["state"]["state_message"]
    return answer


def cancel(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.2/jobs/runs/cancel``: the id in the body or the query; a run that ended stays so."""
    ws.lifecycle.cancel(ws.run(_run_id(request)))
    return {}


def _run_id(request: Request) -> int:
    """Return the id from the body or the query; the stock operator's trigger sends a GET with a body."""
    body = request.json()
    return integer(body["run_id"], "run_id") if "run_id" in body else request.number("run_id")


def delete(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.2/jobs/runs/delete``: only a run that ended."""
    run = ws.run(integer(request.json().get("run_id", ""), "run_id"))
    if run.active:
        raise refuse(f"Run {run.run_id} is active and cannot be deleted.")
    run.deleted = True
    ws.save(run)
    return {}


def list_runs(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.2/jobs/runs/list``: the newest first."""
    limit = request.number("limit", 20) or _LARGEST_LIST
    if not 0 < limit <= _LARGEST_LIST:
        raise refuse(f"limit must be between 1 and {_LARGEST_LIST}, got {limit}")
    active, completed = request.flag("active_only"), request.flag("completed_only")
    if active and completed:
        raise refuse("active_only and completed_only cannot both be true")
    expand = request.flag("expand_tasks")
    below = _page_start(request.text("page_token", ""))
    job_id = request.number("job_id", 0)
    since, until = request.number("start_time_from", 0), request.number("start_time_to", 2**62)
    chosen = (
        run
        for run in ws.newest_first()
        if run.run_id < below
        and (not job_id or run.job_id == job_id)
        and since <= run.created <= until
        and not (active and not run.active)
        and not (completed and run.active)
    )
    if request.text("run_type", "SUBMIT_RUN") != "SUBMIT_RUN":
        return {"has_more": False}
    found = list(islice(chosen, limit + 1))
    page = found[:limit]
    answer: dict[str, Any] = {"has_more": len(found) > limit}
    if page:
        answer["runs"] = [run_json(run, ws.url, ws.settings.workspace_id, tasks=expand) for run in page]
    if answer["has_more"]:
        answer["next_page_token"] = f"r{page[-1].run_id}"
    return answer


def _page_start(token: str) -> int:
    if not token:
        return 2**63
    if token[0] != "r" or not token[1:].isascii() or not token[1:].isdigit() or len(token) > 20:
        raise malformed("page_token is not a token of this endpoint")
    return int(token[1:])


def workflows(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-training/workflows``: the index of the caller's own runs."""
    size = request.number("page_size", 100)
    if not 0 < size <= 1000:
        raise refuse(f"page_size must be between 1 and 1000, got {size}")
    below, active = _page_start(request.text("page_token", "")), request.flag("active_only")
    chosen = (run for run in ws.newest_first() if run.run_id < below and not (active and not run.active))
    found = list(islice(chosen, size + 1))
    page = found[:size]
    rows = []
    for run in page:
        seconds, nanos = divmod(run.created, 1000)
        rows.append(
            {"job_run_id": str(run.run_id), "submit_time": {"seconds": seconds, "nanos": nanos * 10**6}}
        )
    answer: dict[str, Any] = {"training_workflows": rows}
    if len(found) > size:
        answer["next_page_token"] = f"r{page[-1].run_id}"
    return answer


ROUTES = [
    *(
        Route(method, f"/api/{version}/jobs/runs/{verb}", handler)
        for version in ("2.0", "2.1", "2.2")
        for method, verb, handler in (
            ("POST", "submit", submit),
            ("GET", "get", get),
            ("GET", "get-output", get_output),
            ("POST", "cancel", cancel),
            ("POST", "delete", delete),
            ("GET", "list", list_runs),
        )
    ),
    Route("GET", "/api/2.0/ai-training/workflows", workflows),
]
