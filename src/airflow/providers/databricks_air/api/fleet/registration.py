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
"""What a watcher keeps of one run that somebody awaits."""

from __future__ import annotations

import asyncio
import math
import random
import time

from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from airflow.providers.databricks_air.api.watch.pace import FIRST, Pace, spread
from airflow.providers.databricks_air.api.watch.steps import Look
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["CONFIRM", "GATHER", "SOONEST", "Registration"]

CONFIRM = 300.0
"""The longest time between two direct answers for a run, in seconds, whatever the lists say."""
SOONEST = 0.25
"""The share of the interval in which a cheap list is read."""
GATHER = 0.2
"""Seconds by which a look may be early, so that looks come together."""
FIRST_CONFIRM = 15.0
"""The shortest time until a run is asked for itself where a list says already that it is alive."""


class Registration:
    """One run, and whoever awaits news of it.

    :param plan: which run, and how.
    :param is_close: whether every change matters: a list tells no more than that a run is alive.
    :param confirm: the longest time between two direct answers, in seconds.
    """

    __slots__ = (
        "_awaited",
        "_confirm",
        "_news",
        "absent_since",
        "confirm_at",
        "due_at",
        "is_asked",
        "is_close",
        "is_gone",
        "is_in_trouble",
        "is_listed",
        "is_over",
        "is_urgent",
        "is_waiting",
        "looked_at",
        "pace",
        "run_id",
        "since",
        "word",
    )

    def __init__(self, plan: WatchPlan, *, is_close: bool, confirm: float = CONFIRM) -> None:
        now = time.time()
        self._confirm = confirm
        self.run_id = plan.run_id
        self.pace = Pace(plan.polling_interval, now)
        self.since = now
        self.due_at = now
        self.looked_at = 0.0
        # What begins together is asked for over a while, then and ever after.
        first = min(confirm, max(FIRST_CONFIRM, plan.polling_interval))
        self.confirm_at = now + first * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
        self.absent_since = 0.0
        self.word = ""
        self.is_close = is_close
        self.is_urgent = False
        self.is_waiting = True
        self.is_listed = False
        self.is_in_trouble = False
        self.is_asked = False
        self.is_over = False
        self.is_gone = False
        self._news: Run | ApiError | None = None
        self._awaited: asyncio.Future[None] | None = None

    @property
    def needs_direct(self) -> bool:
        """Whether that the run is alive is not enough to know."""
        now = time.time()
        is_close = self.is_close and self.is_waiting
        return is_close or self.is_in_trouble or self.is_urgent or now >= self.confirm_at - GATHER

    def next_look(self, now: float) -> float:
        """Set and return when to look next.

        :param now: epoch seconds.
        """
        self.due_at = now + spread(self.pace.delay(now))
        return self.due_at

    def is_served(self, now: float, share: float) -> bool:
        """Look again later, as a list has just shown the run; return False if that is how it is already.

        :param now: epoch seconds.
        :param share: what a look into the list costs, compared with what it may: while it is cheap, the list is
            read more often than the interval asks for.
        """
        cheap = max(FIRST, self.pace.interval * max(SOONEST, share))
        delay = min(self.pace.delay(now), cheap)
        # The direct answer comes when it is due, not when the list is read next.
        due_at = min(max(self.due_at, now + delay), max(now, self.confirm_at))
        is_new = due_at != self.due_at
        self.due_at = due_at
        return is_new

    def answered(self, run: Run, now: float) -> None:
        """Take a direct answer, and pass it on if it is news.

        :param run: the run.
        :param now: epoch seconds.
        """
        is_news = self.pace.seen(run, now)
        self.looked_at, self.is_waiting, self.is_over = now, run.is_waiting, run.is_terminal
        # What waits may begin to run, which a list need not tell; what runs only ends, which it does.
        wait = spread(max(FIRST_CONFIRM, self.pace.age(now))) if run.is_waiting else self._confirm
        self.confirm_at = now + min(wait, self._confirm)
        if is_news or self.is_in_trouble or self.is_urgent:
            self._pass_on(run)
        self.is_in_trouble = self.is_urgent = False

    def failed(self, error: ApiError, now: float) -> None:
        """Take the failure of a direct look, and pass it on.

        :param error: what happened.
        :param now: epoch seconds.
        """
        self.looked_at, self.is_in_trouble, self.is_urgent = now, True, False
        self._pass_on(error)

    def is_changed(self, word: str) -> bool:
        """Take a list's word that the run is alive; return whether its state is another one than before.

        :param word: what the list says of its state; empty for nothing.
        """
        self.is_listed, self.absent_since = True, 0.0
        is_changed = bool(word and self.word and word != self.word)
        self.word = word or self.word
        return is_changed

    def is_missed(self, now: float) -> bool:
        """Take note that a list has the run no more; return whether to ask for it at once.

        :param now: epoch seconds.
        """
        if not self.is_listed:
            return False
        self.is_listed, self.absent_since = False, now
        self.pace.restart(now)
        return True

    async def news(self, look: Look) -> Run | None:
        """Wait for news of the run.

        :param look: how long.
        :raises ApiError: when the news is that it cannot be seen.
        """
        if self._news is None:
            await self._wait(look.until - time.time())
        news, self._news = self._news, None
        if isinstance(news, ApiError):
            raise news
        return news

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            # Others may run in between.
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        self._awaited = awaited = loop.create_future()
        timer = None if seconds == math.inf else loop.call_later(seconds, _resolve, awaited)
        try:
            await awaited
        finally:
            self._awaited = None
            if timer is not None:
                timer.cancel()

    def _pass_on(self, news: Run | ApiError) -> None:
        self._news = news
        if self._awaited is not None:
            _resolve(self._awaited)


def _resolve(awaited: asyncio.Future[None]) -> None:
    if not awaited.done():
        awaited.set_result(None)
