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

import asyncio
import secrets
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from aiohttp import web

from databricks_air_local.http.exchange import Access, reply, route
from databricks_air_local.http.refusals import Refusal, integer
from databricks_air_local.page.templates import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from databricks_air_local.engine.lifecycle import Lifecycle
    from databricks_air_local.engine.records import Records
    from databricks_air_local.engine.streams import Stream
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.page.run_view import RunView
    from databricks_air_local.state.runs import Run, Runs
    from databricks_air_local.state.site import Site

__all__ = ["Pages"]

_SHOWN_RUNS = 200
_SHOWN_LINES = 1000
_TEXT_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
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
            route("GET", run + "/logs/{attempt}/{node}.txt", self.log, Access.PAGE),
            route("GET", run + "/logs/{attempt}/{node}", self.search, Access.PAGE),
            route("GET", run + "/artifacts/{task}/{path:.*}", self.artifact, Access.PAGE),
            route("GET", "/ml/experiments/{rest:.*}", self.experiment, Access.PAGE),
        ]

    def list(self, request: Request) -> web.Response:
        """``GET /?experiment=&state=&before=``: the latest runs, perhaps of one experiment or in one state."""
        return self._list(request, lambda run: True)

    def _list(self, request: Request, among: Callable[[Run], bool]) -> web.Response:
        wanted = {name: request.text(name, "") for name in ("experiment", "state")}
        before = request.number("before", 2**62)
        known = [run for run in self._runs.newest_first() if among(run)]
        chosen = (
            run
            for run in known
            if run.run_id < before
            and wanted["experiment"] in run.experiment
            and wanted["state"] in {"", run.result or run.life}
        )
        shown = list(islice(chosen, _SHOWN_RUNS + 1))
        more = {**wanted, "before": shown[_SHOWN_RUNS - 1].run_id} if len(shown) > _SHOWN_RUNS else {}
        return page(
            "runs.html",
            "Local AI Runtime",
            alive=not known or any(run.active for run in known),
            runs=[self._view.summary(run) for run in shown[:_SHOWN_RUNS]],
            counts=Counter(run.result or run.life for run in known).most_common(),
            wanted=wanted,
            more=f"?{urlencode(more)}" if more else "",
            url=self._site.url,
        )

    def log(self, request: Request) -> web.StreamResponse:
        """``GET …/logs/{attempt}/{node}.txt``: the whole log of a node, to search or to keep."""
        stream = self._stream(request)
        if stream is None:
            return page("page.html", "There is no such log.", status=404)
        chunks = (stream.chunk(index) for index in range(len(stream.chunk_sizes())))
        return web.Response(body=_piecewise(chunks), headers=_TEXT_HEADERS)

    async def search(self, request: Request) -> web.StreamResponse:
        """``GET …/logs/{attempt}/{node}?search=``: the lines of a whole log that hold some words."""
        stream, wanted = self._stream(request), request.text("search", "")
        if stream is None:
            return page("page.html", "There is no such log.", status=404)
        found: list[tuple[int, str]] = []
        number = 0
        for index in range(len(stream.chunk_sizes())):
            for line in stream.chunk(index).decode("utf-8", "replace").splitlines():
                number += 1
                if wanted.lower() in line.lower():
                    found.append((number, line))
            await asyncio.sleep(0)
        whole = request.path + ".txt"
        shown, count = found[:_SHOWN_LINES], len(found)
        title = f"Log of run {request.params['run_id']}"
        return page("search.html", title, wanted=wanted, found=shown, count=count, lines=number, whole=whole)

    def _stream(self, request: Request) -> Stream | None:
        """Return the log that a path names; nothing when the run has no such attempt or node."""
        run = self._runs.find(request.params["run_id"])
        attempt, node = (integer(request.params[name], name) for name in ("attempt", "node"))
        if not (0 <= attempt < len(run.attempts) and 0 <= node < run.nodes):
            return None
        return self._records.streams.get(run.run_id, attempt, node)

    def run(self, request: Request) -> web.Response:
        """``GET /jobs/runs/{run_id}?scale=log``: one run."""
        try:
            run = self._runs.find(request.params["run_id"])
        except Refusal as refusal:
            return page("page.html", refusal.message, status=404)
        key = self._key if run.active and not run.cancelled else ""
        title = f"{run.experiment} - run {run.run_id}"
        details = self._view.details(run, logarithmic=request.text("scale", "") == "log")
        return page("run.html", title, alive=run.active, key=key, **details)

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
            **_TEXT_HEADERS,
            "Content-Type": "text/plain; charset=utf-8" if shown else "application/octet-stream",
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
        }
        if isinstance(found, Path):
            return web.FileResponse(found, headers=headers)
        return reply(found, headers=headers)

    def experiment(self, request: Request) -> web.Response:
        """``GET /ml/experiments/{id}[/runs/{run_id}…]``: the run of an MLflow run, or the runs of an experiment."""
        number, _, rest = request.params["rest"].partition("/")
        if not rest.startswith("runs/"):
            return self._list(request, lambda run: any(one.experiment_id == number for one in run.attempts))
        owner = self._runs.of_mlflow(rest.split("/")[1])
        if owner is None:
            return page("page.html", "There is no such run.", status=404)
        return web.Response(status=303, headers={"Location": f"/jobs/runs/{owner[0].run_id}"})


async def _piecewise(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
