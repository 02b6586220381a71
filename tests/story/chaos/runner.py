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
"""Plans trials, lets them take place side by side, and keeps what they came to."""

from __future__ import annotations

import math
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.story.airflow_cluster import AIRFLOW_3, AIRFLOW_VERSION, AirflowCluster, Settings
from tests.story.chaos.acts import ACTS
from tests.story.chaos.causes import MODES, Cause, Executor, Leg, Mode
from tests.story.chaos.dags import SHAPES, dag_id, source, stock_source
from tests.story.chaos.disturbances import DISTURBANCES, Act, Disturbance
from tests.story.chaos.ending import count_end, finish
from tests.story.chaos.judge import judge
from tests.story.chaos.rows import AIRFLOW
from tests.story.chaos.slots import Slot
from tests.story.chaos.trial import ThrownAwayError, Trial

__all__ = ["LEG", "Chaos", "Ground", "Planned", "chaos"]

# Tasks that wait for each other's processes take half of the tasks that may run side by side.
CROWDS = 2
# More runs of one connection are looked up in lists, and the journal no longer says who asks for which.
MOST_IN_A_SLOT = 2
# What Airflow 3 says in the log of a try that it has failed for want of its own API server.
NO_API = "Could not reach the Execution API server"
LEG: Leg = "3.3" if AIRFLOW_3 else "2.11"
RELEASE = ".".join(AIRFLOW_VERSION.split(".")[:2])


@dataclass(frozen=True)
class Planned:
    """Trials of one cause in one mode, by their numbers."""

    cause: Cause
    mode: Mode
    numbers: tuple[int, ...]
    stock: bool = False


@dataclass(frozen=True)
class Ground:
    """Where the trials take place.

    :param directory: for everything; it must exist.
    :param slots: trials side by side.
    :param parallelism: tasks side by side.
    :param executor: of Airflow.
    :param schedulers: how many.
    :param triggerers: how many run from the start.
    :param stock: with the Dags of the stock Databricks provider's operator.
    :param package: a directory with the sources of this package; None for those that are installed.
    """

    directory: Path
    slots: int = 4
    parallelism: int = 32
    executor: Executor = "LocalExecutor"
    schedulers: int = 1
    triggerers: int = 1
    stock: bool = False
    package: Path | None = None


class Chaos:
    """Trials in one Airflow.

    :param airflow: the Airflow, running.
    :param slots: where the trials take place.
    :param seed: of everything that is random.
    """

    def __init__(self, airflow: AirflowCluster, slots: list[Slot], seed: int) -> None:
        self.airflow = airflow
        self.slots = slots
        self.seed = seed
        self._crowds = threading.BoundedSemaphore(CROWDS)
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)

    def run(self, plan: Iterable[Planned], seconds: float = math.inf) -> Iterator[dict[str, Any]]:
        """Make all trials and give one record for each, as they end.

        Every cell has its first trial before any has a second one, and its second before any has its last.

        :param seconds: after which no trial is begun any more; what hurts all of Airflow gets the first half.
        """
        began = time.monotonic()
        end = began + seconds
        planned = [p for p in plan if self.airflow.settings.executor in p.cause.executors]
        for crowd in self._shared_crowds(planned):
            if time.monotonic() < began + seconds / 2:
                yield from self._shared(crowd)
        solo = [(p, n) for p in planned if not p.cause.shared for n in p.numbers]
        solo.sort(key=lambda job: (job[1] > 0, (job[1] + 1) / len(job[0].numbers)))
        pool = ThreadPoolExecutor(len(self.slots))
        try:
            yield from filter(None, pool.map(lambda job: self._solo(job, end), solo))
        finally:
            pool.shutdown(cancel_futures=True)

    def _shared_crowds(self, planned: list[Planned]) -> list[list[tuple[Planned, int]]]:
        """Return what goes through a disturbance together; the first crowd of every cause comes first."""
        crowds = []
        for key in dict.fromkeys(p.cause.key for p in planned if p.cause.shared):
            jobs = [(p, n) for p in planned if p.cause.key == key for n in p.numbers]
            size = 1 if DISTURBANCES[key].alone else MOST_IN_A_SLOT * len(self.slots)
            crowds += [(start, jobs[start : start + size]) for start in range(0, len(jobs), size)]
        return [jobs for _, jobs in sorted(crowds, key=lambda crowd: crowd[0])]

    def _trial(self, planned: Planned, number: int, slot: Slot) -> Trial:
        name = f"{self.seed}-{planned.cause.key}-{planned.mode}-{number}"
        return Trial(
            planned.cause, planned.mode, LEG, number, slot, self.airflow, Random(name), stock=planned.stock
        )

    def _solo(self, job: tuple[Planned, int], end: float) -> dict[str, Any] | None:
        if time.monotonic() > end:
            return None
        planned, number = job
        slot = self._free.get()
        try:
            slot.reset()
            trial = self._trial(planned, number, slot)
            with self._crowds if len(trial.keys) > 1 else nullcontext(), _watched(trial):
                ACTS[planned.cause.key](trial)
                finish(trial)
            return _report(trial)
        finally:
            self._free.put(slot)

    def _shared(self, jobs: list[tuple[Planned, int]]) -> list[dict[str, Any]]:
        """Let trials of a cause wait, hurt Airflow once, and let them end."""
        disturbance = DISTURBANCES[jobs[0][0].cause.key]
        for slot in self.slots:
            slot.reset()
        trials = [self._trial(*job, self.slots[n % len(self.slots)]) for n, job in enumerate(jobs)]
        self._disturb(disturbance.before, trials)
        with ThreadPoolExecutor(len(trials)) as pool:
            list(pool.map(lambda trial: _reach(trial, disturbance), trials))
            try:
                self._disturb(disturbance.act, trials)
            finally:
                self.airflow.triggerers[0].start()
                list(pool.map(_end, trials))
        return [_report(trial) for trial in trials]

    def _disturb(self, act: Act, trials: list[Trial]) -> None:
        try:
            act(self.airflow, trials)
            self.airflow.wait_until_healthy()
        except Exception as error:  # noqa: BLE001 - without the disturbance no trial of it says anything
            for trial in trials:
                trial.observed.thrown = trial.observed.thrown or f"{type(error).__name__}: {error}"[:300]


def _reach(trial: Trial, disturbance: Disturbance) -> None:
    if trial.observed.thrown:
        return
    with _watched(trial):
        trial.start()
        disturbance.reach(trial)


def _end(trial: Trial) -> None:
    if trial.observed.error or trial.observed.thrown:
        _abandon(trial)
        return
    with _watched(trial):
        finish(trial)


@contextmanager
def _watched(trial: Trial) -> Iterator[None]:
    """Keep what goes wrong in a trial as its result, and leave nothing of it running."""
    try:
        yield
    except ThrownAwayError as error:
        trial.observed.thrown = str(error)
        _abandon(trial)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the trial's result
        trial.observed.error = f"{type(error).__name__}: {error}"[:600]
        with suppress(Exception):
            trial.count_alive()
            count_end(trial)
        _abandon(trial)


def _abandon(trial: Trial) -> None:
    with suppress(Exception):  # it is the trial's result already
        trial.slot.air.clear_faults()
        trial.airflow.client.mark_run(trial.key.dag_id, trial.name, "failed")


def _report(trial: Trial) -> dict[str, Any]:
    """Return the record of a trial, and say it."""
    verdict = judge(trial.observed, trial.expected, len(trial.keys))
    if verdict.extra_tries and trial.cause.group != AIRFLOW and _is_unheard(trial):
        trial.observed.thrown = "Airflow did not answer a task's process before any code of the task ran"
    record = {
        "cause": trial.cause.key,
        "mode": trial.mode,
        "leg": RELEASE,
        "executor": trial.airflow.settings.executor,
        "number": trial.number,
        "stock": trial.stock,
        **asdict(trial.observed),
        **asdict(verdict),
    }
    _say(trial, "thrown away" if trial.observed.thrown else "clean" if verdict.is_clean else "BROKEN")
    if not verdict.is_clean and not trial.observed.thrown:
        _show_logs(trial)
    return record


def _is_unheard(trial: Trial) -> bool:
    """Return whether Airflow has failed a try by itself before anything of ours ran in it."""
    logs = []
    for number in range(1, trial.observed.tries):
        with suppress(Exception):  # a re-created Dag run has not got all of them
            logs.append(trial.airflow.client.log(trial.key, number))
    return any(NO_API in log and "AI Runtime run" not in log for log in logs)


def _show_logs(trial: Trial) -> None:
    requests = [
        f"{r.time:.2f} {r.method} {r.path[-40:]} {r.status} {r.fault}" for r in trial.slot.air.requests()
    ]
    sys.stdout.write("\n".join(one for one in requests if "/runs/" in one)[-4000:] + "\n")
    for key in trial.keys[:1]:
        for number in range(1, trial.observed.tries + 1):
            with suppress(Exception):
                text = "\n".join(trial.airflow.client.log(key, number).splitlines()[-40:])
                sys.stdout.write(f"--- {trial.name}, log of try {number}:\n{text}\n")


def _say(trial: Trial, how: str) -> None:
    verdict = judge(trial.observed, trial.expected, len(trial.keys))
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {trial.name}: {how} {verdict} {trial.observed}\n")
    sys.stdout.flush()


@contextmanager
def chaos(ground: Ground, seed: int) -> Iterator[Chaos]:
    """Start Airflow and the slots.

    :param seed: of all that is random.
    """
    directory = ground.directory
    places = [Slot(number, directory) for number in range(ground.slots)]
    env = {name: value for place in places for name, value in place.connections.items()}
    settings = Settings(
        directory / "airflow",
        parallelism=ground.parallelism,
        schedulers=ground.schedulers,
        executor=ground.executor,
        package=ground.package,
        env=env,
    )
    cluster = AirflowCluster(settings, triggerers=ground.triggerers)
    try:
        (cluster.home / "dags").mkdir(parents=True)
        for place in places:
            write = stock_source if ground.stock else source
            if ground.stock:
                place.put_stock_command()
            cluster.add_dag(f"slot_{place.number}", write(place.number, *_place(place, ground.stock)))
        with cluster:
            for place in places:  # the Dags of a file are there together
                cluster.client.wait_dag(
                    dag_id("stock" if ground.stock else SHAPES[0], MODES[0], place.number)
                )
            yield Chaos(cluster, places, seed)
    finally:
        for place in places:
            place.stop()


def _place(place: Slot, stock: bool) -> tuple[str, ...]:
    return (f"stock_{place.number}",) if stock else (place.conn_id, str(place.code))
