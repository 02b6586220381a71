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
"""A request as a value, and the answer to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Generic, TypeVar

__all__ = ["Answer", "Call"]

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a workspace sent back with a status below 400.

    :param status: HTTP status.
    :param headers: header names are case-insensitive.
    :param body: the raw body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Mapping[str, Any]:
        """Return the JSON object in the body; an empty body is an empty object.

        :raises ValueError: when the body is anything else.
        """
        parsed = json.loads(self.body) if self.body.strip() else {}
        if not isinstance(parsed, dict):
            raise ValueError("the answer is not a JSON object")
        return parsed


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, complete but unsent.

    :param method: HTTP method.
    :param path: path below the host, already percent-encoded.
    :param read: turns the answer into what the caller wants; a ``ValueError``, ``KeyError`` or ``TypeError``
        of it means that the answer is unreadable.
    :param query: query parameters.
    :param body: sent as JSON; None for no body.
    :param content: opens the raw bytes to send, anew for each try; instead of ``body``.
    :param repeatable: whether sending it twice does no harm; a call that creates needs a token for that.
    :param timeout: seconds for one try.
    :param budget: seconds in which tries may be repeated; 0 for a single try.
    :param url: an address outside the workspace, complete with its signature; it is asked without the
        workspace's credentials, and ``path`` only names it in messages.
    :param headers: sent beside the usual ones.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: Callable[[], BinaryIO] | None = None
    repeatable: bool = True
    timeout: float = 60.0
    budget: float = 300.0
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """Method and path, for messages."""
        return f"{self.method} {self.path}"

    def within(self, seconds: float) -> Call[T]:
        """Return the same call, whose tries end after that many seconds."""
        return replace(self, budget=seconds, timeout=min(seconds, self.timeout))

    def once(self, timeout: float | None = None) -> Call[T]:
        """Return the same call without repetition.

        :param timeout: seconds for the only try; as before when None.
        """
        return replace(self, budget=0.0, timeout=self.timeout if timeout is None else timeout)

    def hurried(self, seconds: float) -> Call[T]:
        """Return the same call, whose next try has at most so many seconds, and always one tenth of one."""
        return replace(self, timeout=min(self.timeout, max(seconds, 0.1)))
