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
"""The pages for people: the runs, and one run with its attempts, logs, configuration and metrics."""

from __future__ import annotations

import secrets
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from databricks_air_local.http.exchange import Access, reply, route
from databricks_air_local.http.refusals import Refusal
from databricks_air_local.page.templates import page

if TYPE_CHECKING:
    from databricks_air_local.engine.lifecycle import Lifecycle
    from databricks_air_local.engine.records import Records
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.page.run_view import RunView
    from databricks_air_local.state.runs import Runs
    from databricks_air_local.state.site import Site

__all__ = ["Pages"]

_SHOWN_RUNS = 200
_TEXTS = (".txt", ".log", ".json", ".yaml", ".yml", ".csv", ".py", ".md")


class Pages:
    """The pages for people."""

    def __init__(self, runs: Runs, view: RunView, records: Records, lifecycle: Lifecycle, site: Site) -> None:
        self._runs = runs
        self._view = view
        self._records = records
        self._lifecycle = lifecycle
        self._site = site
        self._key = secrets.token_hex(16)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        run = "/jobs/runs/{run_id}"
        return [
            route("GET", "/", self.list, Access.PAGE),
            route("GET", run, self.run, Access.PAGE),
            route("POST", f"{run}/cancel", self.cancel, Access.PAGE),
            route("GET", run + "/artifacts/{task}/{path:.*}", self.artifact, Access.PAGE),
            route("GET", "/ml/experiments/{rest:.*}", self.experiment, Access.PAGE),
        ]

    def list(self, _request: Request) -> web.Response:
        """``GET /``: the latest runs."""
        runs = [self._view.summary(run) for run in islice(self._runs.newest_first(), _SHOWN_RUNS)]
        states = [run.result or run.life for run in self._runs.newest_first()]
        return page(
            "runs.html",
            "Local AI Runtime",
            alive=not runs or any(run.active for run in self._runs.newest_first()),
            runs=runs,
            counts=Counter(states).most_common(),
            more=len(states) > len(runs),
            url=self._site.url,
        )

    def run(self, request: Request) -> web.Response:
        """``GET /jobs/runs/{run_id}``: one run."""
        try:
            run = self._runs.find(request.params["run_id"])
        except Refusal as refusal:
            return page("page.html", refusal.message, status=404)
        key = self._key if run.active and not run.cancelled else ""
        title = f"{run.experiment} - run {run.run_id}"
        return page("run.html", title, alive=run.active, key=key, **self._view.details(run))

    def cancel(self, request: Request) -> web.Response:
        """``POST /jobs/runs/{run_id}/cancel``: the button of the page, which carries the page's key."""
        run = self._runs.find(request.params["run_id"])
        if request.body != f"key={self._key}".encode():
            raise Refusal(403, "PERMISSION_DENIED", "The form is out of date: load the page again")
        self._lifecycle.cancel(run)
        return web.Response(status=303, headers={"Location": f"/jobs/runs/{run.run_id}"})

    def artifact(self, request: Request) -> web.StreamResponse:
        """``GET /jobs/runs/{run_id}/artifacts/{task_run_id}/{path}``: a file to look at, or to keep."""
        run, path = self._runs.find(request.params["run_id"]), request.file.strip("/")
        attempt = next((item for item in run.attempts if str(item.run_id) == request.params["task"]), None)
        known = attempt is not None and attempt.mlflow_run_id
        found = self._records.artifacts.read(known, path) if known else None
        if found is None:
            return page("page.html", f"Run {run.run_id} has no such file.", status=404)
        shown = path.endswith(_TEXTS)
        name = quote(path.rpartition("/")[2])
        headers = {
            "Content-Type": "text/plain; charset=utf-8" if shown else "application/octet-stream",
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        if isinstance(found, Path):
            return web.FileResponse(found, headers=headers)
        return reply(found, headers=headers)

    def experiment(self, request: Request) -> web.Response:
        """``GET /ml/experiments/{id}[/runs/{run_id}…]``: leads to the run that an MLflow run belongs to."""
        owner = self._runs.of_mlflow(request.params["rest"].partition("runs/")[2].partition("/")[0])
        target = f"/jobs/runs/{owner[0].run_id}" if owner else "/"
        return web.Response(status=303, headers={"Location": target})
