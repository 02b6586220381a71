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
"""Who the caller is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.site import Site

__all__ = ["Scim"]


class Scim:
    """Who the caller is."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/api/2.0/preview/scim/v2/Me", self.me),
        ]

    def me(self, _request: Request) -> dict[str, Any]:
        """``GET /api/2.0/preview/scim/v2/Me``."""
        user = self._site.user
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "1",
            "userName": user,
            "displayName": user.partition("@")[0],
            "active": True,
            "emails": [{"value": user, "primary": True, "type": "work"}],
            "groups": [{"display": "users", "value": "2", "type": "direct"}],
        }
