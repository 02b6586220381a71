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

import re
from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from databricks_air_local.state.seals import SEALED

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Journal"]

_BODY = 64 * 1024
_BYTES = 16 * 1024 * 1024
#: What an entry takes beside its texts.
_ENTRY = 1024
#: What nobody may read here: the seal of a URL, and the secret of an OAuth client.
_SEAL = re.compile(f"(?<={SEALED})[^/]+")
_SECRET = re.compile("((?:client_secret|client_assertion|token|key)=)[^&]*")
_HIDDEN_HEADERS = {"authorization", "cookie"}


class Journal:
    """The latest requests, oldest first, as many as 16 MiB hold; those to the control endpoints are left out."""

    def __init__(self) -> None:
        self._entries: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._count = 0

    def add(self, http: web.Request, body: bytes, now: float) -> dict[str, Any]:
        """Add a request and return its entry, whose ``status``, ``fault`` and ``duration`` come later.

        :param body: its body; the beginning is kept.
        :param now: seconds since the epoch.
        """
        self._count += 1
        peer = http.transport.get_extra_info("peername") if http.transport else None
        entry: dict[str, Any] = {
            "number": self._count,
            "method": http.method,
            "path": _SEAL.sub("...", http.path),
            "query": {name: http.query.getall(name) for name in http.query},
            "headers": {
                name: value for name, value in http.headers.items() if name.lower() not in _HIDDEN_HEADERS
            },
            "body": _shown(http, body),
            "time": now,
            "connection": f"{peer[0]}:{peer[1]}" if peer else "",
            "status": 0,
            "fault": "",
            "duration": 0.0,
        }
        size = (
            _ENTRY
            + len(entry["body"])
            + len(http.raw_path)
            + sum(len(value) for value in entry["headers"].values())
        )
        self._entries.append((entry, size))
        self._bytes += size
        while self._bytes > _BYTES:
            self._bytes -= self._entries.popleft()[1]
        return entry

    def find(self, method: str = "*", path: str = "*", after: int = 0) -> list[dict[str, Any]]:
        """Return requests by method and path pattern.

        :param after: only those with a greater number.
        """
        return [
            entry
            for entry, _ in self._entries
            if entry["number"] > after
            and method.upper() in {"*", entry["method"]}
            and fnmatchcase(entry["path"], path)
        ]

    def clear(self) -> None:
        """Forget all requests; their numbering goes on."""
        self._entries.clear()
        self._bytes = 0


def _shown(http: web.Request, body: bytes) -> str:
    """Return the beginning of a body, without what a form keeps secret."""
    text = body[:_BODY].decode("utf-8", "replace")
    return _SECRET.sub(r"\1...", text) if not text.startswith("{") else text
