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
"""How often a run is looked at: often when something has just changed, seldom in a long night."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.watch.steps import Look
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["FIRST", "Pace", "Schedule", "spread"]

FIRST = 1.0
"""Seconds between a change and the next look."""
MARGIN = 1.0
"""Seconds that the service may take to notice that a run's time is up."""


class Pace:
    """Says when to look next: a change is noticed about as late as the state before it is old.

    After 1 s, then when 2, 4, 8 s have passed since the last change, and so on up to the interval: a typing
    error shows in seconds, and a night costs little.

    :param interval: the longest time between two looks, in seconds.
    :param now: epoch seconds.
    """

    __slots__ = ("_changed_at", "_due_at", "_shown", "interval")

    def __init__(self, interval: float, now: float) -> None:
        self.interval = interval
        self._changed_at = now
        self._due_at = 0.0
        self._shown: tuple[str, int] | None = None

    def seen(self, run: Run, now: float) -> bool:
        """Take note of a look; return whether the state or the attempt differs from the last one.

        :param run: what was seen.
        :param now: epoch seconds.
        """
        shown = (run.phase, run.latest.number if run.latest else 0)
        if shown == self._shown:
            return False
        self._shown, self._changed_at, self._due_at = shown, now, _time_up(run)
        return True

    def delay(self, now: float) -> float:
        """Return the seconds until the next look.

        :param now: epoch seconds.
        """
        if self._due_at and now >= self._due_at:
            self._changed_at, self._due_at = self._due_at, 0.0
        delay = min(self.interval, max(FIRST, now - self._changed_at))
        return min(delay, self._due_at - now) if self._due_at else delay

    def age(self, now: float) -> float:
        """Return the seconds since the last change.

        :param now: epoch seconds.
        """
        return now - self._changed_at

    def restart(self, now: float) -> None:
        """Look closely again: a change is likely.

        :param now: epoch seconds.
        """
        self._changed_at = now

    @property
    def gap(self) -> float:
        """The seconds from a look to the next one that somebody asks for out of turn."""
        return max(min(FIRST, self.interval), self.interval / 6)


class Schedule:
    """When the only run of a watch is looked at.

    :param interval: the longest time between two looks, in seconds.
    :param now: returns epoch seconds.
    """

    __slots__ = ("_looked_at", "_next_at", "_now", "_pace")

    def __init__(self, interval: float, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._pace = Pace(interval, now())
        self._looked_at = 0.0
        self._next_at = 0.0

    def plan(self, look: Look) -> tuple[float, bool]:
        """Return the seconds to wait, and whether the run is looked at then.

        :param look: what the watch waits for.
        """
        now = self._now()
        if look.is_urgent:
            self._next_at = min(self._next_at, self._looked_at + self._pace.gap)
        if look.is_over or look.until < max(now, self._next_at):
            return max(0.0, look.until - now), False
        wait = max(0.0, self._next_at - now)
        self._looked_at = now + wait
        self._next_at = self._looked_at + spread(self._pace.delay(self._looked_at))
        return wait, True

    def seen(self, run: Run) -> Run:
        """Take note of what was seen, and return it.

        :param run: the run.
        """
        now = self._now()
        if self._pace.seen(run, now):
            self._next_at = now + spread(self._pace.delay(now))
        return run

    def hold(self, seconds: float | None) -> None:
        """Look no sooner than that.

        :param seconds: what the service asks for; None for nothing.
        """
        self._next_at = max(self._next_at, self._now() + (seconds or 0.0))


def spread(seconds: float) -> float:
    """Shorten a wait by up to a tenth, so that what began together does not stay together."""
    return seconds * random.uniform(0.9, 1.0)  # noqa: S311 - spreads load, hides nothing


def _time_up(run: Run) -> float:
    """Return the epoch seconds at which the platform ends the latest attempt; 0 when it has no limit."""
    latest = run.latest
    if not run.timeout or run.is_waiting or latest is None or not latest.start_time:
        return 0.0
    return latest.start_time / 1000 + run.timeout + MARGIN
