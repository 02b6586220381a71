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
"""How the watching goes, in numbers."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Protocol

from airflow.providers.databricks_air.api.fleet.gate import Gate

__all__ = ["Measure", "Tally"]

log = logging.getLogger(__name__)

MEASURE_EVERY = 10.0
SAY_EVERY = 60.0


class Measure(Protocol):
    """Where numbers go; Airflow's ``Stats`` is one such place."""

    def gauge(self, name: str, value: float) -> None:
        """Set a number."""
        ...

    def count(self, name: str, value: int) -> None:
        """Add to a number."""
        ...


class Tally:
    """Counts, and tells now and then.

    :param gate: counts the requests.
    :param measure: told every ten seconds; None for nobody.
    """

    def __init__(self, gate: Gate, measure: Measure | None) -> None:
        self._gate = gate
        self._measure = measure
        self._measured_at = 0.0
        self._said_at = time.monotonic()
        self._lag = self._longest_lag = 0.0
        self._measured = self._said = (0, 0)

    def late(self, seconds: float) -> None:
        """Take note of how late a look is.

        :param seconds: since it was due; negative when it is early.
        """
        self._lag = max(self._lag, seconds)

    def report(self, runs: int) -> None:
        """Tell, if it is time to.

        :param runs: how many runs are followed.
        """
        now = time.monotonic()
        if now - self._measured_at < MEASURE_EVERY:
            return
        self._measured_at = now
        self._longest_lag = max(self._longest_lag, self._lag)
        counted = (self._gate.requests, self._gate.throttled)
        if self._measure is not None:
            sent, slowed = counted[0] - self._measured[0], counted[1] - self._measured[1]
            # The first metric of a process makes Airflow read its list of metrics, a second on a busy machine.
            tell = partial(_tell, self._measure, runs, self._lag, sent, slowed)
            asyncio.get_running_loop().run_in_executor(None, tell)
        self._measured, self._lag = counted, 0.0
        if now - self._said_at >= SAY_EVERY:
            self._say(runs, counted, now)

    def _say(self, runs: int, counted: tuple[int, int], now: float) -> None:
        log.debug(
            "%d runs are followed; in %.0f s %d requests, slowed down %d times, a look at most %.1f s late",
            runs,
            now - self._said_at,
            counted[0] - self._said[0],
            counted[1] - self._said[1],
            self._longest_lag,
        )
        self._said_at, self._said, self._longest_lag = now, counted, 0.0


def _tell(measure: Measure, runs: int, lag: float, sent: int, slowed: int) -> None:
    measure.gauge("databricks_air.watcher.runs", runs)
    measure.gauge("databricks_air.watcher.lag", lag)
    measure.count("databricks_air.watcher.requests", sent)
    measure.count("databricks_air.watcher.throttled", slowed)
