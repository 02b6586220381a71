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
"""What was seen a moment ago: one look for all who ask at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Looks"]

T = TypeVar("T")


class Looks(Generic[T]):
    """Keeps answers, errors too, for some seconds; whoever asks meanwhile gets the same one.

    :param seconds: how long an answer is good.
    :param most: how many are kept.
    :param at_once: how many are made at a time.
    """

    def __init__(self, seconds: float, *, most: int = 256, at_once: int = 4) -> None:
        self._seconds = seconds
        self._most = most
        self._places = asyncio.Semaphore(at_once)
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer for *key*, made anew when there is no good one.

        :param key: what is asked for.
        :param make: makes the answer.
        """
        until, task = self._kept.get(key, (0.0, None))
        if task is None or (task.done() and until < time.monotonic()):
            task = asyncio.ensure_future(self._make(make))
            self._kept[key] = (time.monotonic() + self._seconds, task)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        # Whoever closes the page must not take the answer from the others.
        return await asyncio.shield(task)

    async def _make(self, make: Callable[[], Awaitable[T]]) -> T:
        async with self._places:
            return await make()
