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
"""Usage policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import malformed, refuse

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.inventory import Inventory

__all__ = ["Policies", "page"]


def page(request: Request, name: str, items: list[Any], largest: int) -> dict[str, Any]:
    """Return one page of a list, by ``page_size`` and ``page_token``.

    :raises Refusal: when they are out of range.
    """
    size = request.number("page_size", largest)
    token = request.text("page_token", "") or "0"
    if not 1 <= size <= largest:
        raise refuse(f"page_size must be between 1 and {largest}, got {size}")
    if not token.isascii() or not token.isdigit() or len(token) > 9:
        raise malformed("page_token is not a token of this endpoint")
    start = int(token)
    answer: dict[str, Any] = {name: items[start : start + size]}
    if len(items) > start + size:
        answer["next_page_token"] = str(start + size)
    return answer


class Policies:
    """Usage policies."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/api/2.0/serverless-policies", self.list_policies),
        ]

    def list_policies(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/serverless-policies``: the name filter is partial and ignores case."""
        wanted = request.text("filter_by.policy_name", "").lower()
        found = [
            {"policy_id": policy_id, "policy_name": name, "display_name": name}
            for name, policy_id in self._inventory.policies.items()
            if wanted in name.lower()
        ]
        return page(request, "policies", found, 1000)
