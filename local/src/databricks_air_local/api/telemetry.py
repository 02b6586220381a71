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
"""Where clients send what they count: taken and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request

__all__ = ["Telemetry"]


class Telemetry:
    """Takes what clients count."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [route("POST", "/telemetry-ext", self.take)]

    def take(self, request: Request) -> dict[str, Any]:
        """``POST /telemetry-ext``: says that all of it arrived."""
        logs = request.json().get("protoLogs")
        return {"errors": [], "numProtoSuccess": len(logs) if isinstance(logs, list) else 0}
