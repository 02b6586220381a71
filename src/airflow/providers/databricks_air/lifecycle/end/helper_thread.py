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
"""Work that a signal to the main thread must not interrupt, and questions that must not keep it waiting."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

__all__ = ["ask_apart", "ask_with_limit", "in_thread"]

T = TypeVar("T")
# A triggerer's own threads are few; a question that hangs must take none of them. Each may take one of the fifteen
# connections that a process of Airflow 2 has to its database.
_ASKING = ThreadPoolExecutor(12, "databricks-air-question")
log = logging.getLogger(__name__)


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Start work in a thread of its own, and return its future.

    :param work: takes no argument.
    """
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name="databricks-air-launch", daemon=True).start()
    return future


def ask_with_limit(ask: Callable[[], T], seconds: float) -> T | None:
    """Ask from a helper thread; None when there is no answer in time.

    The channel to Airflow may be held by the very code that a signal has interrupted, so the asking thread is
    never waited for beyond the limit.

    :param ask: blocks until there is an answer.
    :param seconds: how long to wait for it.
    """
    answers: list[T] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            log.debug("Airflow could not be asked for the task's state: %s", error)

    thread = threading.Thread(target=run, name="databricks-air-ask", daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


async def ask_apart(seconds: float, ask: Callable[..., T], *given: Any) -> T:
    """Ask Airflow from a triggerer's event loop, in a thread that is none of the triggerer's own.

    :param seconds: how long to wait for the answer.
    :param ask: blocks until there is an answer.
    :param given: its arguments.
    :raises TimeoutError: when there is none in time.
    """
    return await asyncio.wait_for(
        sync_to_async(ask, thread_sensitive=False, executor=_ASKING)(*given), seconds
    )
