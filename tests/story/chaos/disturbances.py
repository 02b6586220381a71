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
from pathlib import Path

from tests.story.airflow_cluster import AirflowCluster, send, wait_for
from tests.story.chaos.injuries import is_gone
from tests.story.chaos.ledger import GET
from tests.story.chaos.trial import Trial

__all__ = ["DISTURBANCES", "Act", "Disturbance"]

OUTAGE = 60.0
RETRIES_USED_UP = 100.0  # Airflow 3 ends the first try after some 45 s, and the only other one 10 s later
OVERTAKEN = "another one follows it"
PAUSE = 42.0  # more than the 30 s after which a triggerer counts as dead

Act = Callable[[AirflowCluster, Sequence[Trial]], None]


def _nothing(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    pass


def _wait_until_followed(trial: Trial) -> None:
    trial.wait_until_waiting()
    trial.say()


def _wait_until_deferred(trial: Trial) -> None:
    trial.airflow.client.wait_task(trial.key, {"deferred"})


def _mark_in_silence(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    """Mark one after the other as failed; stop the API server from before the task gets SIGTERM to its end."""
    for trial in trials:
        process = trial.process()
        send(process.pid, signal.SIGSTOP)
        airflow.client.mark(trial.key, "failed")
        wait_for(lambda pid=process.pid: _awaits_sigterm(pid), "SIGTERM", 60, every=0.05)  # type: ignore[misc]
        airflow.api.signal_all(signal.SIGSTOP)
        try:
            send(process.pid, signal.SIGCONT)
            wait_for(lambda pid=process.pid: is_gone(pid), "the task's process to end", 60)  # type: ignore[misc]
        finally:
            airflow.api.signal_all(signal.SIGCONT)


def _awaits_sigterm(pid: int) -> bool:
    """Whether a stopped process will get SIGTERM as soon as it goes on."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in pending)


def _hold_first_look(trial: Trial) -> None:
    trial.slot.wait_for_fault(GET)


def _hold_looks(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for slot in {trial.slot.number: trial.slot for trial in trials}.values():
        for _ in [trial for trial in trials if trial.slot is slot]:
            slot.hold(GET, 6.0)


def _kill_api(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    time.sleep(trials[0].random.uniform(4.0, 8.0))
    airflow.api.kill()
    time.sleep(10)
    airflow.start_api()


def _mark_when_deferred(trial: Trial) -> None:
    _wait_until_deferred(trial)
    trial.airflow.client.mark(trial.key, "failed")


def _wait_until_alone(trial: Trial) -> None:
    """Wait until the task is deferred and its process has ended."""
    process = trial.process()
    _wait_until_deferred(trial)
    wait_for(lambda: is_gone(process.pid), "the task's process to end", 60)


@dataclass(frozen=True)
class Disturbance:
    """How all trials of a cause go through it together.

    :param act: what happens to Airflow.
    :param before: what is arranged before the trials start.
    :param reach: brings one trial, after its start, to where the act meets it.
    :param alone: whether each trial goes through it by itself.
    """

    act: Act
    before: Act = _nothing
    reach: Callable[[Trial], None] = _wait_until_followed
    alone: bool = False


def _stop_api(seconds: float) -> Act:
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


def _one(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[0].start()
    for triggerer in airflow.triggerers[1:]:
        triggerer.stop()


def _two(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for triggerer in airflow.triggerers[:2]:
        triggerer.start()


def _no_triggerer(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for triggerer in airflow.triggerers:
        triggerer.stop()


def _start_triggerer(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.triggerers[0].start()


def _mark_all(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    with ThreadPoolExecutor(len(trials)) as pool:
        list(pool.map(lambda trial: airflow.client.mark(trial.key, "failed"), trials))
    airflow.triggerers[0].start()


def _clear_all(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    with ThreadPoolExecutor(len(trials)) as pool:
        list(pool.map(lambda trial: airflow.client.clear(trial.key), trials))
    wait_for(lambda: all(t.view.try_number > 1 for t in trials), "the cleared tasks to be tried again")
    airflow.triggerers[0].start()


def _break_triggers(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    """Let the triggers that wait be of a class that no triggerer has: what another version of a package does."""
    ours = "classpath LIKE '%%AirRunTrigger'"
    changed = airflow.execute(f"UPDATE trigger SET classpath = 'airflow.gone.Gone' WHERE {ours}")
    for trial in trials:
        trial.verify(
            changed >= len(trials), f"only {changed} triggers of {len(trials)} were there to be broken"
        )
    airflow.triggerers[0].start()


def _overtake_triggers(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    """Let the scheduler take the tasks back from triggers that go on to watch: their time is up, it thinks."""
    changed = airflow.execute(
        "UPDATE task_instance SET trigger_timeout = now() - interval '1 second' WHERE state = 'deferred'"
    )
    for trial in trials:
        trial.verify(changed >= len(trials), f"only {changed} tasks of {len(trials)} were deferred")
        client, key = airflow.client, trial.key
        wait_for(lambda c=client, k=key: OVERTAKEN in c.log(k, 1), "the task to go on", 90)  # type: ignore[misc]


def _restart_database(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.restart_database()


def _shut_workers_down(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for worker in airflow.workers:
        worker.signal_one(signal.SIGQUIT)
    for worker in airflow.workers:
        worker.wait(60)
        worker.start()


def _kill_workers(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    for worker in airflow.workers:
        worker.kill()
        worker.start()


def _kill_scheduler(airflow: AirflowCluster, trials: Sequence[Trial]) -> None:
    airflow.scheduler.kill()
    airflow.scheduler.start()


DISTURBANCES: dict[str, Disturbance] = {
    "api-outage": Disturbance(_stop_api(OUTAGE)),
    "api-outage-hasty": Disturbance(_stop_api(RETRIES_USED_UP)),
    "scheduler-kill": Disturbance(_kill_scheduler),
    "database-restart": Disturbance(_restart_database),
    "celery-shutdown": Disturbance(_shut_workers_down),
    "celery-kill": Disturbance(_kill_workers),
    "triggerer-kill": Disturbance(_kill, before=_one),
    "triggerer-term": Disturbance(_term, before=_one),
    "triggerer-pause": Disturbance(_pause, before=_one),
    "triggerers-kill": Disturbance(_kill, before=_two),
    "triggerers-pause": Disturbance(_pause, before=_two),
    "trigger-lost": Disturbance(_break_triggers, before=_no_triggerer, reach=_wait_until_deferred),
    "trigger-lost-last": Disturbance(_break_triggers, before=_no_triggerer, reach=_wait_until_deferred),
    "clear-unwatched": Disturbance(_clear_all, before=_no_triggerer, reach=_wait_until_deferred),
    "mark-unwatched": Disturbance(_mark_all, before=_no_triggerer, reach=_wait_until_alone),
    "mark-silent": Disturbance(_mark_in_silence, alone=True),
    "api-kill-at-deferral": Disturbance(_kill_api, before=_hold_looks, reach=_hold_first_look),
    "trigger-overtaken": Disturbance(_overtake_triggers),
    "mark-untaken": Disturbance(_start_triggerer, before=_no_triggerer, reach=_mark_when_deferred),
}
