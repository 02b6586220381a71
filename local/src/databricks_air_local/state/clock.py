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
"""The time that runs live in: the machine's, or one that a test moves."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol

__all__ = ["Clock", "RealClock", "VirtualClock"]


class Clock(Protocol):
    """What the runs ask about time."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds of this clock have passed."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the time forward; only a virtual clock can."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Refuse: the machine's clock is not ours to move.

        :raises ValueError: always.
        """
        raise ValueError(
            f"The clock is real and cannot be advanced by {seconds} s; start with clock='virtual'"
        )


class VirtualClock:
    """A clock that stands still until it is advanced, or runs faster than the machine's.

    :param start: seconds since the epoch; now when left out.
    :param speed: how many seconds of this clock pass in one second of the machine; 0 stands still.
    """

    def __init__(self, start: float | None = None, speed: float = 0.0) -> None:
        self._base = time.time() if start is None else start
        self._speed = speed
        self._origin = time.monotonic()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._base + (time.monotonic() - self._origin) * self._speed

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._count += 1
        heapq.heappush(self._waiting, (self.now() + seconds, self._count, woken))
        if self._speed:
            loop.call_later(seconds / self._speed, self._wake)
        await woken

    def advance(self, seconds: float) -> None:
        """Move the time forward and wake who waited for it.

        :raises ValueError: when ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"Time goes forward only, not by {seconds} s")
        self._base += seconds
        self._wake()

    def _wake(self) -> None:
        now = self.now() + 1e-6
        while self._waiting and self._waiting[0][0] <= now:
            woken = heapq.heappop(self._waiting)[2]
            if not woken.done():
                woken.set_result(None)
