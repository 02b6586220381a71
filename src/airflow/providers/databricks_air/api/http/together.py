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
"""Work of one launch side by side, in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

__all__ = ["Stopped", "in_thread", "together"]

T = TypeVar("T")

MAX_AT_ONCE = 12


class Stopped(Exception):
    """The work is not needed any more."""


async def together(tasks: Sequence[Callable[[], Awaitable[Any]]], *, limit: int = MAX_AT_ONCE) -> list[Any]:
    """Run *tasks* side by side and return their results in order.

    The first failure is raised; the others are cancelled, and have ended by then.

    :param tasks: functions that return something to await; called when their turn comes.
    :param limit: how many run at once.
    """
    places = asyncio.Semaphore(limit)

    async def run(task: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await task()

    running = [asyncio.ensure_future(run(task)) for task in tasks]
    try:
        return await asyncio.gather(*running)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def in_thread(work: Callable[[Callable[[], None]], T]) -> T:
    """Run *work* in a thread, and wait for its end even when it is not needed any more.

    :param work: gets a function to call from time to time, which raises :class:`Stopped` once the caller is
        cancelled.
    """
    unwanted = threading.Event()

    def check() -> None:
        if unwanted.is_set():
            raise Stopped

    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(work, check))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        unwanted.set()
        await asyncio.wait([future])
        future.exception()
        raise
