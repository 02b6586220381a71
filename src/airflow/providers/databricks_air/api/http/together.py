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
"""Work that goes side by side on a few threads, and ends as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

__all__ = ["Stopped", "Together"]

MAX_THREADS = 12


class Stopped(Exception):
    """A sibling failed, so this work is not needed any more."""


class Together:
    """Runs functions side by side; when one fails, the others are told to stop.

    A function that may take long asks :meth:`check` from time to time.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()

    def check(self) -> None:
        """Return if the work is still wanted.

        :raises Stopped: when a sibling failed.
        """
        if self._stop.is_set():
            raise Stopped

    def run(self, tasks: Iterable[Callable[[], Any]]) -> list[Any]:
        """Run *tasks* and return their results in order.

        The first failure is raised once every thread has ended. An exception that comes from outside (a
        signal) is raised at once.

        :param tasks: functions without arguments.
        """
        pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="air-launch")
        try:
            futures = [pool.submit(task) for task in tasks]
            wait(futures, return_when=FIRST_EXCEPTION)
            if any(future.done() and future.exception() for future in futures):
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise _cause(futures)
            return [future.result() for future in futures]
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _cause(futures: list[Future[Any]]) -> BaseException:
    """Return what went wrong, rather than what was stopped because of it."""
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    return next((error for error in errors if not isinstance(error, Stopped)), errors[0])
