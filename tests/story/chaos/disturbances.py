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
"""What hurts the whole Airflow: done once, while all trials of the cause wait for their runs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.story.airflow_cluster import AirflowCluster
from tests.story.chaos.acts import end_runs
from tests.story.chaos.trial import Trial

__all__ = ["DISTURBANCES", "Disturbance"]

OUTAGE = 60.0
RETRIES_USED_UP = 100.0  # Airflow 3 ends the first try after some 45 s, and the only other one 10 s later
PAUSE = 42.0  # more than the 30 s after which a triggerer counts as dead


def _nothing(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    pass


def _wait_until_followed(trial: Trial) -> None:
    trial.wait_until_waiting()


def _end(trial: Trial) -> None:
    if trial.expected.alive:
        trial.wait_for_end()  # and nobody releases the run: it has to be there when all is counted
        return
    if trial.expected.retried:
        trial.wait_until_waiting(than=1)
    end_runs(trial)
    trial.wait_for_end()


@dataclass(frozen=True)
class Disturbance:
    """How all trials of a cause go through it together.

    :param act: what happens to Airflow.
    :param before: what is arranged before the trials start.
    :param reach: brings one trial, after its start, to where the act meets it.
    :param end: brings one trial to its end after the act.
    """

    act: Callable[[AirflowCluster, Sequence[Trial]], None]
    before: Callable[[AirflowCluster, Sequence[Trial]], None] = _nothing
    reach: Callable[[Trial], None] = _wait_until_followed
    end: Callable[[Trial], None] = _end


def _stop_api(seconds: float) -> Callable[[AirflowCluster, Sequence[Trial]], None]:
    def act(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
        airflow.api.stop()
        time.sleep(seconds)
        airflow.start_api()

    return act


def _kill(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[0].kill()
    airflow.triggerers[0].start()


def _term(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[0].stop()
    airflow.triggerers[0].start()


def _pause(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[0].signal_all(signal.SIGSTOP)
    time.sleep(PAUSE)
    airflow.triggerers[0].signal_all(signal.SIGCONT)


def _second(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[1].start()


def _no_triggerer(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for triggerer in airflow.triggerers:
        triggerer.stop()


def _mark_all(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    with ThreadPoolExecutor(len(trials)) as pool:
        list(pool.map(lambda trial: airflow.client.mark(trial.key, "failed"), trials))
    airflow.triggerers[0].start()


def _clear_all(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    with ThreadPoolExecutor(len(trials)) as pool:
        list(pool.map(lambda trial: airflow.client.clear(trial.key), trials))
        # The new tries defer as well: only then may a triggerer see anything.
        list(pool.map(lambda trial: trial.wait_for_try(than=1, states=frozenset({"deferred"})), trials))
    airflow.triggerers[0].start()


def _end_newest(trial: Trial) -> None:
    trial.wait_until_waiting(run=2, than=1)
    trial.slot.air.release(trial.runs[-1]["run_id"])
    trial.wait_for_end()


def _wait_until_deferred(trial: Trial) -> None:
    trial.airflow.client.wait_task(trial.key, {"deferred"})


DISTURBANCES: dict[str, Disturbance] = {
    "api-outage": Disturbance(_stop_api(OUTAGE)),
    "api-outage-hasty": Disturbance(_stop_api(RETRIES_USED_UP)),
    "triggerer-kill": Disturbance(_kill),
    "triggerer-term": Disturbance(_term),
    "triggerer-pause": Disturbance(_pause),
    "triggerers-kill": Disturbance(_kill, before=_second),
    "triggerers-term": Disturbance(_term, before=_second),
    "triggerers-pause": Disturbance(_pause, before=_second),
    "clear-unwatched": Disturbance(
        _clear_all, before=_no_triggerer, reach=_wait_until_deferred, end=_end_newest
    ),
    "mark-unwatched": Disturbance(_mark_all, before=_no_triggerer, reach=_wait_until_deferred),
}
