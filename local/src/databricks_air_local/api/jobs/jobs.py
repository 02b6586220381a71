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

from databricks_air_local.api.jobs.run_view import run_json
from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import integer, malformed, refuse

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.api.jobs.submission import Admission
    from databricks_air_local.engine.lifecycle import Lifecycle
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.script.behaviours import Behaviours
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Runs
    from databricks_air_local.state.site import Site

__all__ = ["Jobs"]

_LARGEST_LIST = 25
_TASKS = 100


def _run_id(request: Request) -> int:
    """Return the id from the body or the query; the stock operator's trigger sends a GET with a body."""
    body = request.json()
    return integer(body["run_id"], "run_id") if "run_id" in body else request.number("run_id")


def _page_start(token: str) -> int:
    if not token:
        return 2**63
    if token[0] != "r" or not token[1:].isascii() or not token[1:].isdigit() or len(token) > 20:
        raise malformed("page_token is not a token of this endpoint")
    return int(token[1:])


class Jobs:
    """Runs: submit, get, get-output, cancel, list, delete."""

    def __init__(
        self,
        runs: Runs,
        lifecycle: Lifecycle,
        behaviours: Behaviours,
        admission: Admission,
        clock: Clock,
        site: Site,
    ) -> None:
        self._runs = runs
        self._lifecycle = lifecycle
        self._behaviours = behaviours
        self._admission = admission
        self._clock = clock
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            *(
                route(method, f"/api/{version}/jobs/runs/{verb}", handler)
                for version in ("2.0", "2.1", "2.2")
                for method, verb, handler in (
                    ("POST", "submit", self.submit),
                    ("GET", "get", self.get),
                    ("GET", "get-output", self.get_output),
                    ("POST", "cancel", self.cancel),
                    ("POST", "delete", self.delete),
                    ("GET", "list", self.list_runs),
                )
            ),
            route("GET", "/api/2.0/ai-training/workflows", self.workflows),
        ]

    def submit(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.2/jobs/runs/submit``: a known token gives the run it made, whatever the body says."""
        body = request.json()
        token = body.get("idempotency_token")
        known = self._runs.of_token(token)
        if known is not None:
            if known.deleted:
                raise refuse(f"The run of idempotency token {token!r} was deleted.")
            return {"run_id": known.run_id}
        self._admission.check(body)
        now = int(self._clock.now() * 1000)
        run = self._runs.new(body, self._site.user, now)
        run.plan = self._behaviours.plan(run)
        self._runs.save(run)
        self._lifecycle.start(run)
        return {"run_id": run.run_id}

    def get(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.2/jobs/runs/get``: a hundred attempts on a page."""
        shown = run_json(self._runs.find(_run_id(request)), self._site)
        token = request.text("page_token", "")
        start = _page_start(token) if token else 0
        tasks = shown["tasks"]
        shown["tasks"] = tasks[start : start + _TASKS]
        if len(tasks) > start + _TASKS:
            shown["next_page_token"] = f"r{start + _TASKS}"
        return shown

    def get_output(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.2/jobs/runs/get-output``: of a task run; a run's id answers for its first attempt."""
        run_id = request.number("run_id")
        run = self._runs.find(run_id)
        attempt = self._runs.attempt(run_id)
        shown = run_json(run, self._site)
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

    def cancel(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.2/jobs/runs/cancel``: the id in the body or the query; a run that ended stays so."""
        self._lifecycle.cancel(self._runs.find(_run_id(request)))
        return {}

    def delete(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.2/jobs/runs/delete``: only a run that ended."""
        run = self._runs.find(integer(request.json().get("run_id", ""), "run_id"))
        if run.active:
            raise refuse(f"Run {run.run_id} is active and cannot be deleted.")
        run.deleted = True
        self._runs.save(run)
        return {}

    def list_runs(self, request: Request) -> dict[str, Any]:
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
            for run in self._runs.newest_first()
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
            answer["runs"] = [run_json(run, self._site, tasks=expand) for run in page]
        if answer["has_more"]:
            answer["next_page_token"] = f"r{page[-1].run_id}"
        return answer

    def workflows(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-training/workflows``: the index of the caller's own runs."""
        size = request.number("page_size", 100)
        if not 0 < size <= 1000:
            raise refuse(f"page_size must be between 1 and 1000, got {size}")
        below, active = _page_start(request.text("page_token", "")), request.flag("active_only")
        chosen = (
            run for run in self._runs.newest_first() if run.run_id < below and not (active and not run.active)
        )
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
