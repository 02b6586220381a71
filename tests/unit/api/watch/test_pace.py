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
"""When a run is looked at, without a clock that really runs."""

from __future__ import annotations

from airflow.providers.databricks_air.api.watch.pace import Pace, Schedule
from airflow.providers.databricks_air.api.watch.steps import Look
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run, RunState


def run_in(state: str, *, timeout: int = 0, started: float = 0.0) -> Run:
    """Return a run in a state."""
    attempt = Attempt(0, 2, RunState(state), start_time=int(started * 1000))
    return Run(1, RunState(state), (attempt,), timeout=timeout)


def looks(pace: Pace, now: float, until: float) -> list[float]:
    """Return when a run is looked at."""
    found = []
    while (now := now + pace.delay(now)) < until:
        found.append(now)
    return found


def test_looks_come_quickly_at_first_and_then_at_the_interval() -> None:
    """After 1, 2, 4, 8, 16 and 32 s, and then every 30 s."""
    assert looks(Pace(30.0, 0.0), 0.0, 130.0) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 62.0, 92.0, 122.0]


def test_an_interval_below_a_second_is_kept() -> None:
    """Nobody who asks for a look every tenth of a second waits a second."""
    assert Pace(0.1, 0.0).delay(0.0) == 0.1


def test_a_change_brings_the_quick_looks_back() -> None:
    """A run that has waited for an hour and begins is looked at after a second."""
    pace = Pace(30.0, 0.0)
    assert pace.seen(run_in("PENDING"), 0.0)
    assert not pace.seen(run_in("PENDING"), 3600.0)
    assert pace.delay(3600.0) == 30.0
    assert pace.seen(run_in("RUNNING"), 3600.0)
    assert pace.delay(3600.0) == 1.0


def test_a_limit_of_the_platform_is_looked_at_when_it_is_due() -> None:
    """A run whose time is up at 100 s is looked at then, and closely."""
    pace = Pace(30.0, 0.0)
    pace.seen(run_in("RUNNING", timeout=100, started=0.001), 0.0)
    at = looks(pace, 0.0, 110.0)
    assert any(101.0 <= look <= 101.1 for look in at), at
    assert sum(look > 101.0 for look in at) >= 3, at


def test_a_reason_to_look_at_once_is_no_reason_to_look_all_the_time() -> None:
    """An urgent look comes at once, and the next one not before a sixth of the interval has passed."""
    clock = [1000.0]
    schedule = Schedule(30.0, lambda: clock[0])
    assert schedule.plan(Look()) == (0.0, True)
    schedule.seen(run_in("RUNNING"))
    clock[0] += 500.0
    assert schedule.plan(Look())[1]
    clock[0] += 1.0
    wait, is_due = schedule.plan(Look(is_urgent=True))
    assert is_due
    assert 3.9 <= wait <= 4.1
    clock[0] += 20.0
    assert schedule.plan(Look(is_urgent=True))[0] == 0.0


def test_other_things_to_do_come_before_a_later_look() -> None:
    """A watch that has something to do in between is woken for it, without a look."""
    clock = [1000.0]
    schedule = Schedule(30.0, lambda: clock[0])
    schedule.plan(Look())
    assert schedule.plan(Look(until=1000.5)) == (0.5, False)


def test_a_run_that_is_over_is_not_looked_at() -> None:
    """Only the time matters then."""
    schedule = Schedule(30.0, lambda: 1000.0)
    assert schedule.plan(Look(until=1002.0, is_over=True)) == (2.0, False)
