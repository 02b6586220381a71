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

import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["ask_with_limit", "in_thread"]

T = TypeVar("T")
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
