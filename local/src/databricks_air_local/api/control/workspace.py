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

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import Access, route
from databricks_air_local.http.refusals import decimal, refuse
from databricks_air_local.script.behaviours import check_plan
from databricks_air_local.script.faults import Fault
from databricks_air_local.script.log_faults import LogFaults
from databricks_air_local.script.scenario import check_config_errors
from databricks_air_local.state.inventory import Declaration

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.script.scenario import Script
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.tokens import Tokens

__all__ = ["Control"]


class Control:
    """What a test says about requests, runs to come, tokens and time."""

    def __init__(self, script: Script, tokens: Tokens, inventory: Inventory, clock: Clock) -> None:
        self._script = script
        self._tokens = tokens
        self._inventory = inventory
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route(method, f"/local/{path}", handler, Access.CONTROL)
            for method, path, handler in (
                ("POST", "faults", self.add_fault),
                ("GET", "faults", self.show_faults),
                ("DELETE", "faults", self.clear_faults),
                ("POST", "log-faults", self.set_log_faults),
                ("POST", "config-errors", self.set_config_errors),
                ("POST", "behaviours", self.add_behaviour),
                ("DELETE", "behaviours", self.clear_behaviours),
                ("GET", "requests", self.requests),
                ("DELETE", "requests", self.clear_requests),
                ("POST", "clock", self.advance),
                ("POST", "tokens", self.tokens),
                ("POST", "inventory", self.declare),
                ("GET", "inventory", self.show_inventory),
            )
        ]

    def add_fault(self, request: Request) -> None:
        """``POST /local/faults``: a fault."""
        try:
            self._script.faults.add(Fault.parse(request.json()))
        except ValueError as error:
            raise refuse(str(error)) from None

    def show_faults(self, _request: Request) -> dict[str, Any]:
        """``GET /local/faults``."""
        return {"faults": self._script.faults.show()}

    def clear_faults(self, _request: Request) -> None:
        """``DELETE /local/faults``: also those of logs and of config:validate."""
        self._script.clear_faults()

    def set_log_faults(self, request: Request) -> None:
        """``POST /local/log-faults``: for streams that begin from now on."""
        try:
            self._script.logs = LogFaults.parse(request.json())
        except ValueError as error:
            raise refuse(str(error)) from None

    def set_config_errors(self, request: Request) -> None:
        """``POST /local/config-errors``: ``{"errors": [{"path", "message", "code"}]}`` for config:validate."""
        try:
            self._script.config_errors = check_config_errors(request.json().get("errors", []))
        except ValueError as error:
            raise refuse(str(error)) from None

    def add_behaviour(self, request: Request) -> None:
        """``POST /local/behaviours``: a plan; one with the same ``id`` is replaced."""
        plan = request.json()
        try:
            check_plan(plan)
        except ValueError as error:
            raise refuse(str(error)) from None
        self._script.behaviours.add(plan)

    def clear_behaviours(self, _request: Request) -> None:
        """``DELETE /local/behaviours``."""
        self._script.behaviours.clear()

    def requests(self, request: Request) -> dict[str, Any]:
        """``GET /local/requests?method=&path=&after=``."""
        found = self._script.journal.find(
            request.text("method", "*"), request.text("path", "*"), request.number("after", 0)
        )
        return {"requests": found}

    def clear_requests(self, _request: Request) -> None:
        """``DELETE /local/requests``."""
        self._script.journal.clear()

    def advance(self, request: Request) -> dict[str, Any]:
        """``POST /local/clock``: ``{"advance": seconds}``, on a virtual clock."""
        try:
            self._clock.advance(decimal(request.json().get("advance", 0), "advance"))
        except ValueError as error:
            raise refuse(str(error)) from None
        return {"now": self._clock.now()}

    def tokens(self, request: Request) -> dict[str, Any]:
        """``POST /local/tokens``: ``{"expire": true}``, ``{"renew": true}`` or ``{"issue": seconds}``."""
        body = request.json()
        if body.get("expire"):
            self._tokens.expire()
        if body.get("renew"):
            self._tokens.renew()
        return {"token": self._tokens.issue(decimal(body["issue"], "issue"))} if "issue" in body else {}

    def declare(self, request: Request) -> dict[str, Any]:
        """``POST /local/inventory``: ``{"volumes", "images", "pools", "policies"}`` that exist from now on."""
        try:
            self._inventory.declare(Declaration.parse(request.json()))
        except ValueError as error:
            raise refuse(str(error)) from None
        return self._inventory.show()

    def show_inventory(self, _request: Request) -> dict[str, Any]:
        """``GET /local/inventory``."""
        return self._inventory.show()
