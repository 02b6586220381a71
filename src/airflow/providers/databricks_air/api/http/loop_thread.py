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
"""An event loop in a thread of its own, for code that has none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines that other threads hand in; nothing here takes a lock that a signal handler may find held.

    :param first: called in the thread before anything else.
    """

    def __init__(self, first: Callable[[], None]) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(first)
        self._thread = threading.Thread(target=self._serve, name="databricks-air-http", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin *coroutine* in the context of the caller.

        :param coroutine: what to run.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def soon(self, event: asyncio.Event) -> None:
        """Set *event* in the loop; a loop that has ended is no error."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(event.set)

    def stop(self, last: Coroutine[Any, Any, None], limit: float = 1.0) -> None:
        """End the loop after *last*, which gets so many seconds.

        :param last: what to run before the end.
        :param limit: seconds.
        """
        if threading.current_thread() is self._thread:
            # The garbage collector works in whatever thread it finds.
            self._loop.create_task(last).add_done_callback(lambda _: self._loop.stop())
            return
        with contextlib.suppress(Exception):
            self.start(last).result(limit)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(limit)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            for task in (pending := asyncio.all_tasks(self._loop)):
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        finally:
            self._loop.close()
