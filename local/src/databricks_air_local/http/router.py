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
"""Which handler answers which method and path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["Handler", "Match", "Route", "Router", "decode"]

Handler = Callable[["Workspace", "Request"], Any]


@dataclass(frozen=True)
class Route:
    """A method, a path and the function that answers.

    :param method: HTTP method.
    :param path: the path; ``{name}`` matches one segment, ``{name:path}`` at the end matches all that is
        left.
    :param handler: takes the workspace and the request, returns a value or raises ``Refusal``.
    :param upload: the body is handed over as a file, not in memory.
    :param public: answered without a token.
    :param page: for people: on the loopback address without a token, elsewhere with it as a password.
    :param control: of the control endpoints: an expired token is good enough, no fault applies, nothing is
        recorded.
    """

    method: str
    path: str
    handler: Handler
    upload: bool = False
    public: bool = False
    control: bool = False
    page: bool = False


@dataclass(frozen=True)
class Match:
    """A route and what its placeholders matched."""

    route: Route
    params: dict[str, str]


class Router:
    """Finds the route of a request by its raw path: ``%2F`` stays inside its segment until decoded."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str], list[tuple[list[str], Route]]] = {}
        for route in routes:
            parts = route.path.strip("/").split("/")
            head = "/".join(takewhile(lambda part: not part.startswith("{"), parts[:3]))
            self._routes.setdefault((route.method, head), []).append((parts, route))

    def find(self, method: str, raw_path: str) -> Match | None:
        """Return the route of a request, or nothing."""
        segments = raw_path.lstrip("/").split("/")
        for size in (3, 2, 1):
            for parts, route in self._routes.get((method, "/".join(segments[:size])), ()):
                params = _match(parts, segments)
                if params is not None:
                    return Match(route, params)
        return None


def _match(parts: list[str], segments: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for index, part in enumerate(parts):
        if part.endswith(":path}"):
            params[part[1:-6]] = "/" + decode("/".join(segments[index:]))
            return params
        if index >= len(segments):
            return None
        if part.startswith("{"):
            name, _, verb = part[1:].partition("}")
            if not segments[index].endswith(verb):
                return None
            params[name] = decode(segments[index][: len(segments[index]) - len(verb)])
        elif part != segments[index]:
            return None
    return params if len(parts) == len(segments) else None


def decode(text: str) -> str:
    """Percent-decode once; bytes that are not UTF-8 become the replacement character."""
    return unquote(text, errors="replace")
