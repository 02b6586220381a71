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
"""Time that passes only while nothing is to be done: an hour of waiting takes as long as its requests.

A process begins with :func:`install`, before it imports what it measures: from then on ``time.time()``,
``time.monotonic()`` and every timer of its event loop follow one clock, which jumps to the next timer whenever no
request is under way and no thread works. The clock stands in a file, so that a local AI Runtime in another process
reads the same time (:class:`SharedClock`).
"""

from __future__ import annotations

import asyncio
import mmap
import selectors
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["SharedClock", "install"]

REAL = time.time
STUCK = 20.0
"""Seconds of the machine after which a request without an answer no longer stops the clock."""


class SharedClock:
    """A clock in a file, for whoever has the file.

    :param path: the file; it is made when it is missing, and then the clock shows the machine's time.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", REAL()))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 8)

    def now(self) -> float:
        """Return the seconds since the epoch."""
        found: float = struct.unpack_from("d", self._bytes)[0]
        return found

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds of this clock have passed."""
        until = self.now() + seconds
        while self.now() < until:  # noqa: ASYNC110 - another process moves the clock
            await asyncio.sleep(0.005)

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        struct.pack_into("d", self._bytes, 0, self.now() + seconds)


class _Waiting(selectors.DefaultSelector):
    """Waits for sockets; where nothing is to come from them, moves the clock to the next timer instead."""

    def __init__(self, clock: SharedClock) -> None:
        super().__init__()
        self._clock = clock
        self.busy = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(STUCK if self.busy else 0)
        if not events:
            self._clock.advance(timeout)
        return events


class _Loop(asyncio.SelectorEventLoop):
    """Knows when a thread works for it."""

    def __init__(self, waiting: _Waiting) -> None:
        super().__init__(waiting)
        self._waiting = waiting
        # Seconds since the epoch leave a float no room for the nanosecond by which a timer may be early.
        self._clock_resolution = 1e-5

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._waiting.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._back)
        return future

    def _back(self, _: object) -> None:
        self._waiting.busy -= 1


def install(path: Path) -> asyncio.AbstractEventLoop:
    """Make this process live in the time of a clock, and return the event loop that moves it.

    :param path: the file of the clock.
    """
    clock = SharedClock(path)
    time.time = time.monotonic = clock.now
    waiting = _Waiting(clock)
    _count_requests(waiting)
    loop = _Loop(waiting)
    asyncio.set_event_loop(loop)
    return loop


def _count_requests(waiting: _Waiting) -> None:
    """Let the clock stand from the start of a request until its answer is read."""
    import aiohttp

    ask, read = aiohttp.ClientSession._request, aiohttp.ClientResponse.read
    unread: set[int] = set()

    async def counted(session: aiohttp.ClientSession, *args: Any, **options: Any) -> Any:
        waiting.busy += 1
        try:
            response = await ask(session, *args, **options)
        except BaseException:
            waiting.busy -= 1
            raise
        unread.add(id(response))
        return response

    async def read_whole(response: aiohttp.ClientResponse) -> bytes:
        try:
            return await read(response)
        finally:
            if id(response) in unread:
                unread.remove(id(response))
                waiting.busy -= 1

    sessions: Any = aiohttp.ClientSession
    responses: Any = aiohttp.ClientResponse
    sessions._request, responses.read = counted, read_whole
