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
"""How much a workspace is asked at once: one gate for all that is asked through one connection."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.call import Call
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["Gate"]

T = TypeVar("T")

MOST_IN_FLIGHT = 16
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
GROWTH = 0.5
"""What one good answer adds to the number of requests in flight: some dozens until all is as before."""
OVERLOAD = frozenset({None, 429, 502, 503, 504})
"""What says that the workspace, or the way to it, has too much to do; None is no answer at all."""


class Gate:
    """Lets requests through in the order in which they came, and fewer of them while a workspace is in trouble.

    :param most: how many requests may be under way at once.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self._limit = float(most)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = 0.0
        self._slowed_at = 0.0
        self._failures = 0
        self.requests = 0
        """How many requests were sent."""
        self.throttled = 0
        """How often the workspace made the connection slower."""

    @property
    def is_troubled(self) -> bool:
        """Whether the last sign from the workspace was one of trouble."""
        return self._failures > 0

    async def perform(self, client: AsyncClient, call: Call[T]) -> T:
        """Send a call when it is its turn.

        :raises ApiError: when the answer is not the one hoped for.
        """
        await self.enter()
        return await self.perform_inside(client, call)

    async def perform_inside(self, client: AsyncClient, call: Call[T]) -> T:
        """Send a call in the place that ``enter`` gave, and give it back.

        :raises ApiError: when the answer is not the one hoped for.
        """
        started = time.monotonic()
        self.requests += 1
        try:
            answer = await client.perform(call)
        except ServiceError as error:
            if error.status in OVERLOAD:
                self._slow_down(started, error.retry_after or 0.0)
            raise
        except ApiError:
            self._speed_up(started)
            raise
        else:
            self._speed_up(started)
            return answer
        finally:
            self.leave()

    async def enter(self) -> None:
        """Wait for a place; whoever gets one gives it back with ``leave``."""
        if not self._waiting and self._has_place():
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._in_flight -= 1
        self._call_in()

    def _has_place(self) -> bool:
        return self._in_flight < int(self._limit) and time.monotonic() >= self._closed_until

    def _call_in(self) -> None:
        """Let in whoever may come in now; while the gate is closed, come back when it opens."""
        while self._waiting and self._has_place():
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
        wait = self._closed_until - time.monotonic()
        if self._waiting and wait > 0 and not self._in_flight:
            asyncio.get_running_loop().call_later(wait + 0.001, self._call_in)

    def _slow_down(self, started: float, retry_after: float) -> None:
        self.throttled += 1
        now = time.monotonic()
        if started >= self._slowed_at:
            # The answers of what was under way together are one sign of trouble, not many.
            self._limit = max(1.0, self._limit / 2)
            self._failures += 1
            self._slowed_at = now
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        pause = max(retry_after, pause) * random.uniform(1.0, 1.1)  # noqa: S311 - spreads load, hides nothing
        self._closed_until = max(self._closed_until, now + pause)

    def _speed_up(self, started: float) -> None:
        if started >= self._slowed_at:
            self._failures = 0
            self._limit = min(float(self._most), self._limit + GROWTH)
