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
"""The control endpoints, for tests: faults, behaviours, the journal, time. The real API has none of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from databricks_air_local.api.submission import node_count
from databricks_air_local.api.validate import check_config_errors
from databricks_air_local.engine.streams import LogFaults
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import decimal, integer, refuse
from databricks_air_local.script.behaviours import check_plan
from databricks_air_local.script.faults import Fault
from databricks_air_local.state.runs import run_json

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]


def add_fault(ws: Workspace, request: Request) -> None:
    """``POST /local/faults``: a fault."""
    try:
        ws.faults.add(Fault.parse(request.json()))
    except ValueError as error:
        raise refuse(str(error)) from None


def show_faults(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /local/faults``."""
    return {"faults": ws.faults.show()}


def clear_faults(ws: Workspace, _request: Request) -> None:
    """``DELETE /local/faults``: also those of logs and of config:validate."""
    ws.faults.clear()
    ws.config_errors = []
    ws.streams.faults = LogFaults()


def set_log_faults(ws: Workspace, request: Request) -> None:
    """``POST /local/log-faults``: for streams that begin from now on."""
    try:
        ws.streams.faults = LogFaults.parse(request.json())
    except ValueError as error:
        raise refuse(str(error)) from None


def set_config_errors(ws: Workspace, request: Request) -> None:
    """``POST /local/config-errors``: ``{"errors": [{"path", "message", "code"}]}`` for config:validate."""
    try:
        ws.config_errors = check_config_errors(request.json().get("errors", []))
    except ValueError as error:
        raise refuse(str(error)) from None


def add_behaviour(ws: Workspace, request: Request) -> None:
    """``POST /local/behaviours``: a plan; one with the same ``id`` is replaced."""
    plan = request.json()
    try:
        check_plan(plan)
    except ValueError as error:
        raise refuse(str(error)) from None
    ws.behaviours.add(plan)


def clear_behaviours(ws: Workspace, _request: Request) -> None:
    """``DELETE /local/behaviours``."""
    ws.behaviours.clear()


def requests(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /local/requests?method=&path=&after=``."""
    found = ws.journal.find(
        request.text("method", "*"), request.text("path", "*"), request.number("after", 0)
    )
    return {"requests": found}


def clear_requests(ws: Workspace, _request: Request) -> None:
    """``DELETE /local/requests``."""
    ws.journal.clear()


def runs(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /local/runs``: all runs in the order of their creation, with their submit bodies."""
    shown = []
    for run in ws.runs.values():
        view = run_json(run, ws.url, ws.settings.workspace_id)
        shown.append(
            {**view, "body": run.body, "alive": run.active, "token": run.body.get("idempotency_token", "")}
        )
    return {"runs": shown}


def release(ws: Workspace, request: Request) -> None:
    """``POST /local/runs/{id}/release``: what the run waits for has happened."""
    ws.lifecycle.release(ws.run(request.params["run_id"]))


def write_log(ws: Workspace, request: Request) -> None:
    """``POST /local/runs/{id}/logs``: ``{"lines", "node", "attempt", "at"}``, ``at`` in epoch seconds."""
    run, body = ws.run(request.params["run_id"]), request.json()
    attempt = integer(body.get("attempt", run.last.number), "attempt")
    node, lines = integer(body.get("node", 0), "node"), body.get("lines", [])
    if (
        not isinstance(lines, list)
        or not 0 <= attempt < len(run.attempts)
        or not 0 <= node < node_count(run.air)
    ):
        raise refuse("lines must be an array; node and attempt must be those of the run")
    stream = ws.streams.get(run.run_id, attempt, node)
    if body.get("at") is None:
        stream.extend(((str(line), stream.consumed) for line in lines), ws.clock.now())
        return
    at = decimal(body["at"], "at")
    for line in lines:
        stream.insert(str(line), at)


def stats(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /local/stats``: counts of what lives."""
    return {
        "runs_created": len(ws.runs),
        "runs_alive": [run.run_id for run in ws.runs.values() if run.active],
        "processes": ws.nodes.alive,
        "threads": threading.active_count(),
        "now": ws.clock.now(),
    }


def advance(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /local/clock``: ``{"advance": seconds}``, on a virtual clock."""
    try:
        ws.clock.advance(decimal(request.json().get("advance", 0), "advance"))
    except ValueError as error:
        raise refuse(str(error)) from None
    return {"now": ws.clock.now()}


def tokens(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /local/tokens``: ``{"expire": true}``, ``{"renew": true}`` or ``{"issue": seconds}``."""
    body = request.json()
    if body.get("expire"):
        ws.tokens.expire()
    if body.get("renew"):
        ws.tokens.renew()
    return {"token": ws.tokens.issue(decimal(body["issue"], "issue"))} if "issue" in body else {}


ROUTES = [
    Route("POST", "/local/faults", add_fault, control=True),
    Route("GET", "/local/faults", show_faults, control=True),
    Route("DELETE", "/local/faults", clear_faults, control=True),
    Route("POST", "/local/log-faults", set_log_faults, control=True),
    Route("POST", "/local/config-errors", set_config_errors, control=True),
    Route("POST", "/local/behaviours", add_behaviour, control=True),
    Route("DELETE", "/local/behaviours", clear_behaviours, control=True),
    Route("GET", "/local/requests", requests, control=True),
    Route("DELETE", "/local/requests", clear_requests, control=True),
    Route("GET", "/local/runs", runs, control=True),
    Route("POST", "/local/runs/{run_id}/release", release, control=True),
    Route("POST", "/local/runs/{run_id}/logs", write_log, control=True),
    Route("GET", "/local/stats", stats, control=True),
    Route("POST", "/local/clock", advance, control=True),
    Route("POST", "/local/tokens", tokens, control=True),
]
