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
"""The door of the pages: a key in the URL works once and leaves a cookie; a form takes the token."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from databricks_air_local.http.exchange import Access, endpoint_of, route
from databricks_air_local.page.templates import page

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.http.server import Next
    from databricks_air_local.state.doors import Doors

__all__ = ["Login", "guard_pages"]

_COOKIE = "databricks_air_local"


class Login:
    """Lets people in."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", "/login", self.login, Access.LOGIN),
            route("POST", "/local/page-keys", self.new_key, Access.CONTROL),
        ]

    def login(self, request: Request) -> web.Response:
        """``POST /login``: the token, and where to go."""
        form = parse_qs(request.body.decode("utf-8", "replace"))
        token, target = (form.get(name, [""])[-1] for name in ("token", "next"))
        return _let_in(self._doors, token, target)

    def new_key(self, _request: Request) -> dict[str, str]:
        """``POST /local/page-keys``: a key that opens the pages once."""
        return {"key": self._doors.new_key()}


def guard_pages(doors: Doors) -> Middleware:
    """Return the middleware that asks whoever wants a page for a key."""

    @web.middleware
    async def check(request: web.Request, handler: Next) -> web.StreamResponse:
        endpoint = endpoint_of(request)
        if endpoint is None or endpoint.access not in {Access.PAGE, Access.LOGIN}:
            return await handler(request)
        doors.check_host(request.headers)
        if endpoint.access is Access.LOGIN or doors.is_open(
            request.headers, request.cookies.get(_COOKIE, "")
        ):
            return await handler(request)
        query = [(name, value) for name, value in request.query.items() if name != "key"]
        target = request.rel_url.raw_path + (f"?{urlencode(query)}" if query else "")
        return _let_in(doors, request.query.get("key", ""), target)

    return check


def _let_in(doors: Doors, key: str, target: str) -> web.Response:
    """Return the way on for a good key or token, and the form for any other."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target:
        target = "/"
    cookie = doors.open(key)
    if cookie is None:
        headers = {} if doors.loopback else {"WWW-Authenticate": 'Basic realm="the token is the password"'}
        answer = page("login.html", "Local AI Runtime", status=401, next=target, wrong=bool(key))
        answer.headers.update(headers)
        return answer
    answer = web.Response(status=303, headers={"Location": target})
    # Lax: a link in Airflow's own pages leads here with it; nothing is changed without the key of a form.
    answer.set_cookie(_COOKIE, cookie, httponly=True, samesite="Lax", path="/")
    return answer
