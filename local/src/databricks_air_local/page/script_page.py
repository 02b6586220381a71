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
"""The page for who writes tests: the journal, the faults and behaviours in force, holds and the clock."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from databricks_air_local.http.exchange import Access, route
from databricks_air_local.http.refusals import Refusal
from databricks_air_local.page.templates import moment, page

if TYPE_CHECKING:
    from databricks_air_local.engine.lifecycle import Lifecycle
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.script.scenario import Script
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.runs import Runs

__all__ = ["ScriptPage"]

_SHOWN = 200
#: What people look at is not what a client asked.
_PAGES = ("/jobs/runs/", "/ml/", "/script", "/login")


class ScriptPage:
    """Shows what was asked of the server, and what makes it answer as it does."""

    def __init__(
        self, script: Script, runs: Runs, lifecycle: Lifecycle, inventory: Inventory, clock: Clock
    ) -> None:
        self._script = script
        self._runs = runs
        self._lifecycle = lifecycle
        self._inventory = inventory
        self._clock = clock
        self._key = secrets.token_hex(16)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/script", self.show, Access.PAGE),
            route("POST", "/script/release", self.release, Access.PAGE),
        ]

    def show(self, request: Request) -> web.Response:
        """``GET /script?method=&path=&before=``: the latest requests that were asked for, and what is in force."""
        method, path = request.text("method", "") or "*", request.text("path", "") or "*"
        before = request.number("before", 2**62)
        asked = [
            entry
            for entry in self._script.journal.find(method, path)
            if entry["number"] < before and entry["path"] != "/" and not entry["path"].startswith(_PAGES)
        ][::-1]
        held = [self._runs.find(run_id) for run_id in self._lifecycle.held]
        return page(
            "script.html",
            "Requests",
            alive=before == 2**62,
            key=self._key,
            now=moment(int(self._clock.now() * 1000)),
            clock=type(self._clock).__name__.removesuffix("Clock").lower(),
            wanted={"method": request.text("method", ""), "path": request.text("path", "")},
            requests=[_shown(entry) for entry in asked[:_SHOWN]],
            older=asked[_SHOWN - 1]["number"] if len(asked) > _SHOWN else 0,
            faults=self._script.faults.show(),
            behaviours=[json.dumps(plan) for plan in self._script.behaviours.show()],
            held=[{"id": run.run_id, "experiment": run.experiment, "state": run.life} for run in held],
            inventory=[(name, _words(there)) for name, there in self._inventory.show().items()],
        )

    def release(self, request: Request) -> web.Response:
        """``POST /script/release``: the button beside a run that waits."""
        form = {
            name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()
        }
        if form.get("key") != self._key:
            raise Refusal(403, "PERMISSION_DENIED", "The form is out of date: load the page again")
        self._lifecycle.release(self._runs.find(form.get("run_id")))
        return web.Response(status=303, headers={"Location": "/script"})


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **entry,
        "at": moment(int(entry["time"] * 1000)).removesuffix(" UTC").partition(" ")[2],
        "milliseconds": f"{entry['duration'] * 1000:,.0f} ms",
        "query": "&".join(f"{name}={value}" for name, values in entry["query"].items() for value in values),
        "body": entry["body"][:4000],
    }


def _words(there: Any) -> str:
    pairs = [f"{key} ({value})" for key, value in there.items()] if isinstance(there, dict) else there
    return ", ".join(pairs) or "none"
