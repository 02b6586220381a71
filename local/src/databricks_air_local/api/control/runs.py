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
"""The control endpoints of runs, for tests: what lives, what a run waits for, what it prints."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from databricks_air_local.api.jobs.run_view import run_json
from databricks_air_local.http.exchange import Access, route
from databricks_air_local.http.refusals import decimal, integer, refuse

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.engine.lifecycle import Lifecycle
    from databricks_air_local.engine.nodes import Nodes
    from databricks_air_local.engine.streams import Streams
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Runs
    from databricks_air_local.state.site import Site

__all__ = ["RunControl"]


class RunControl:
    """What a test asks and says about runs that are there."""

    def __init__(
        self, runs: Runs, lifecycle: Lifecycle, nodes: Nodes, streams: Streams, clock: Clock, site: Site
    ) -> None:
        self._runs = runs
        self._lifecycle = lifecycle
        self._nodes = nodes
        self._streams = streams
        self._clock = clock
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/local/runs", self.runs, Access.CONTROL),
            route("POST", "/local/runs/{run_id}/release", self.release, Access.CONTROL),
            route("POST", "/local/runs/{run_id}/logs", self.write_log, Access.CONTROL),
            route("GET", "/local/stats", self.stats, Access.CONTROL),
        ]

    def runs(self, _request: Request) -> dict[str, Any]:
        """``GET /local/runs``: all runs in the order of their creation, with their submit bodies."""
        shown = []
        for run in self._runs:
            view = run_json(run, self._site)
            shown.append({**view, "body": run.body, "alive": run.active, "token": run.token})
        return {"runs": shown}

    def release(self, request: Request) -> None:
        """``POST /local/runs/{id}/release``: what the run waits for has happened."""
        self._lifecycle.release(self._runs.find(request.params["run_id"]))

    def write_log(self, request: Request) -> None:
        """``POST /local/runs/{id}/logs``: ``{"lines", "node", "attempt", "at"}``, ``at`` in epoch seconds."""
        run, body = self._runs.find(request.params["run_id"]), request.json()
        attempt = integer(body.get("attempt", run.last.number), "attempt")
        node, lines = integer(body.get("node", 0), "node"), body.get("lines", [])
        if not isinstance(lines, list) or not 0 <= attempt < len(run.attempts) or not 0 <= node < run.nodes:
            raise refuse("lines must be an array; node and attempt must be those of the run")
        stream = self._streams.get(run.run_id, attempt, node)
        if body.get("at") is None:
            stream.extend(((str(line), stream.consumed) for line in lines), self._clock.now())
            return
        at = decimal(body["at"], "at")
        for line in lines:
            stream.insert(str(line), at)

    def stats(self, _request: Request) -> dict[str, Any]:
        """``GET /local/stats``: counts of what lives."""
        return {
            "runs_created": len(self._runs),
            "runs_alive": [run.run_id for run in self._runs if run.active],
            "processes": self._nodes.alive,
            "threads": threading.active_count(),
            "now": self._clock.now(),
        }
