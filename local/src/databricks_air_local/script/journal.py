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
from typing import Any

__all__ = ["Journal"]

_KEPT = 100_000
_BODY = 64 * 1024


class Journal:
    """The latest requests, oldest first; requests to the control endpoints are left out."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._count = 0

    def add(self, entry: dict[str, Any], body: bytes) -> dict[str, Any]:
        """Add a request.

        :param entry: ``method``, ``path``, ``query``, ``headers``, ``time`` (seconds since the epoch),
            ``connection``.
        :param body: its body; the beginning is kept.
        """
        self._count += 1
        entry.update(number=self._count, body=body[:_BODY].decode("utf-8", "replace"), status=0)
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
