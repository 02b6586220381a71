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
"""What was asked: every request with its body, time and answer's status."""

from __future__ import annotations

from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Journal"]

_KEPT = 100_000
_BODY = 64 * 1024
_HIDDEN_HEADERS = {"authorization", "cookie"}


class Journal:
    """The latest requests, oldest first; requests to the control endpoints are left out."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._count = 0

    def add(self, http: web.Request, body: bytes, now: float) -> dict[str, Any]:
        """Add a request and return its entry, whose ``status``, ``fault`` and ``duration`` come later.

        :param body: its body; the beginning is kept.
        :param now: seconds since the epoch.
        """
        self._count += 1
        peer = http.transport.get_extra_info("peername") if http.transport else None
        entry = {
            "number": self._count,
            "method": http.method,
            "path": http.path,
            "query": {name: http.query.getall(name) for name in http.query},
            "headers": {
                name: value for name, value in http.headers.items() if name.lower() not in _HIDDEN_HEADERS
            },
            "body": body[:_BODY].decode("utf-8", "replace"),
            "time": now,
            "connection": f"{peer[0]}:{peer[1]}" if peer else "",
            "status": 0,
            "fault": "",
            "duration": 0.0,
        }
        self._entries.append(entry)
        return entry

    def find(self, method: str = "*", path: str = "*", after: int = 0) -> list[dict[str, Any]]:
        """Return requests by method and path pattern.

        :param after: only those with a greater number.
        """
        return [
            entry
            for entry in self._entries
            if entry["number"] > after
            and method.upper() in {"*", entry["method"]}
            and fnmatchcase(entry["path"], path)
        ]

    def clear(self) -> None:
        """Forget all requests; their numbering goes on."""
        self._entries.clear()
