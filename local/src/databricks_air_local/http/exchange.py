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
"""What a handler takes and gives back: a request that was read, a value that becomes the answer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from aiohttp import web

from databricks_air_local.http.refusals import integer, malformed, refuse

__all__ = ["Access", "Endpoint", "Request", "Spool", "endpoint_of", "reply", "route"]

Spool = Callable[[web.Request], Awaitable[Path]]


class Access(Enum):
    """Who may ask for an endpoint."""

    #: Who has a token.
    TOKEN = "token"  # noqa: S105 - a name
    #: Everybody: what a client asks before it has a token.
    PUBLIC = "public"
    #: Who has the URL: it carries its own seal.
    SEALED = "sealed"
    #: A person in a browser who was let in.
    PAGE = "page"
    #: A person in a browser who asks to be let in.
    LOGIN = "login"
    #: A test: an expired token is good enough, no fault applies, nothing is recorded.
    CONTROL = "control"


@dataclass
class Request:
    """One request, read once.

    :param method: upper-case HTTP method.
    :param path: decoded path.
    :param params: what the placeholders of the route matched, decoded.
    :param query: query parameters, the values of each in order.
    :param headers: request headers.
    :param body: the body, unless the endpoint takes it as a file.
    :param upload: the body as a file, for endpoints that take one; the handler owns it.
    """

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    upload: Path = field(default_factory=Path)

    @property
    def file(self) -> str:
        """Return the path that the placeholder ``path`` matched, with its slash."""
        return "/" + self.params["path"].removeprefix("/")

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        :raises Refusal: when it is not one.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise malformed("Expected a JSON object")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a query parameter.

        :raises Refusal: when it is absent and has no default.
        """
        values = self.query.get(name)
        if values:
            return values[-1]
        if default is None:
            raise refuse(f"Missing required field: {name}")
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean query parameter.

        :raises Refusal: when it is neither ``true`` nor ``false``.
        """
        value = self.text(name, "true" if default else "false").lower()
        if value not in {"true", "false"}:
            raise malformed(f"{name} must be true or false")
        return value == "true"

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer query parameter.

        :raises Refusal: when it is not an int64, or absent without a default.
        """
        return integer(self.text(name, None if default is None else str(default)), name)


Handler = Callable[[Request], Any]


@dataclass(frozen=True)
class Endpoint:
    """What aiohttp calls for a route: it reads the body, asks the handler and writes what that returned.

    :param handler: returns a JSON value, nothing for ``{}``, a response, or something to await that does.
    :param access: who may ask.
    :param spool: takes the body as a file; without it the body is read into memory.
    """

    handler: Handler
    access: Access = Access.TOKEN
    spool: Spool | None = None

    async def answer(self, http: web.Request) -> web.StreamResponse:
        """Answer one request."""
        request = Request(
            http.method,
            http.path,
            dict(http.match_info),
            {name: http.query.getall(name) for name in http.query},
            http.headers,
        )
        if self.spool is None:
            request.body = await http.read()
            return await self._answer(request)
        request.upload = await self.spool(http)
        try:
            return await self._answer(request)
        except BaseException:
            request.upload.unlink(missing_ok=True)
            raise

    async def _answer(self, request: Request) -> web.StreamResponse:
        value = self.handler(request)
        return reply(await value if inspect.isawaitable(value) else value)


def route(
    method: str, path: str, handler: Handler, access: Access = Access.TOKEN, spool: Spool | None = None
) -> web.RouteDef:
    """Return a route of the application.

    :param path: as aiohttp writes it; ``{path:.*}`` at the end matches all that is left.
    """
    settings = {"allow_head": False} if method == "GET" else {}  # a HEAD is a route of its own
    return web.RouteDef(method, path, Endpoint(handler, access, spool).answer, settings)


def endpoint_of(http: web.Request) -> Endpoint | None:
    """Return the endpoint that a request is for; nothing when there is no such route."""
    found = getattr(http.match_info.handler, "__self__", None)
    return found if isinstance(found, Endpoint) else None


def reply(value: object, status: int = 200, headers: Any = None) -> web.StreamResponse:
    """Return a response: a mapping is JSON, bytes are bytes, nothing is ``{}``, a response is itself."""
    if isinstance(value, web.StreamResponse):
        return value
    kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
    body = value if isinstance(value, bytes) else json.dumps({} if value is None else value).encode()
    return web.Response(status=status, body=body, headers={"Content-Type": kind, **(headers or {})})
