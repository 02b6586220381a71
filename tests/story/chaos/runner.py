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
"""Plans trials, lets them take place side by side, and counts."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.story.airflow_cluster import AIRFLOW_3, AirflowCluster, Settings
from tests.story.chaos.acts import ACTS, end_runs
from tests.story.chaos.causes import Cause, Leg, Mode, cause
from tests.story.chaos.dags import SHAPES, dag_id, source, stock_source
from tests.story.chaos.disturbances import DISTURBANCES, Disturbance
from tests.story.chaos.slots import Slot
from tests.story.chaos.trial import Trial, judge

__all__ = ["LEG", "Chaos", "Planned", "chaos"]

# Ten tasks that wait for each other's processes take half of the tasks that may run side by side.
CROWDS = 2
LEG: Leg = "3.3" if AIRFLOW_3 else "2.11"


@dataclass(frozen=True)
class Planned:
    """Trials of one cause in one mode, by their numbers."""

    cause: Cause
    mode: Mode
    numbers: tuple[int, ...]
    stock: bool = False


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
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)

    def run(self, plan: Iterable[Planned]) -> list[dict[str, Any]]:
        """Make all trials and return one record for each."""
        planned = list(plan)
        solo = [(p, n) for p in planned if not p.cause.shared for n in p.numbers]
        trials: list[Trial] = []
        for stock in sorted({p.stock for p, _ in solo}):
            self._measure(stock)
            mine = [one for one in solo if one[0].stock == stock]
            for is_crowd in (False, True):
                jobs = [one for one in mine if (one[0].cause.shape == "mapped") == is_crowd]
                with ThreadPoolExecutor(CROWDS if is_crowd else len(self.slots)) as pool:
                    trials += pool.map(self._solo, jobs)
        for key in dict.fromkeys(p.cause.key for p in planned if p.cause.shared):
            trials += self._shared([p for p in planned if p.cause.key == key])
        return [self._record(trial) for trial in trials]

    def _measure(self, stock: bool) -> None:
        """Count the requests of an undisturbed launch; the first makes directories that the second finds."""
        slot = self.slots[0]
        for number in (1, 2):
            slot.reset()
            trial = self._trial(Planned(cause("clear-finished"), "sync", (), stock), -number, slot)
            trial.start()
            trial.wait_until_waiting()
            end_runs(trial)
            paths = [request.path for request in slot.air.requests()]
        submit = next(n for n, path in enumerate(paths) if path.endswith("/runs/submit"))
        for one in self.slots:
            one.launch_requests = submit + 2
        _say(f"the requests of a launch: {', '.join(paths[: submit + 2])}")

    def _trial(self, planned: Planned, number: int, slot: Slot) -> Trial:
        name = f"{self.seed}-{planned.cause.key}-{planned.mode}-{number}"
        return Trial(
            planned.cause, planned.mode, LEG, number, slot, self.airflow, Random(name), stock=planned.stock
        )

    def _solo(self, job: tuple[Planned, int]) -> Trial:
        planned, number = job
        slot = self._free.get()
        try:
            slot.reset()
            trial = self._trial(planned, number, slot)
            with _watched(trial):
                ACTS[planned.cause.key](trial)
                trial.wait_for_end()
            return trial
        finally:
            self._free.put(slot)

    def _shared(self, planned: list[Planned]) -> list[Trial]:
        """Let all trials of a cause wait, hurt Airflow once, and let them end."""
        disturbance = DISTURBANCES[planned[0].cause.key]
        for slot in self.slots:
            slot.reset()
        jobs = [(one, number) for one in planned for number in one.numbers]
        trials = [self._trial(*job, self.slots[n % len(self.slots)]) for n, job in enumerate(jobs)]
        disturbance.before(self.airflow, trials)
        with ThreadPoolExecutor(len(trials)) as pool:
            list(pool.map(lambda trial: _until_reached(trial, disturbance), trials))
            try:
                disturbance.act(self.airflow, trials)
                self.airflow.wait_until_healthy()
            finally:
                list(pool.map(lambda trial: _until_end(trial, disturbance), trials))
        self.airflow.triggerers[1].stop()
        return trials

    def _record(self, trial: Trial) -> dict[str, Any]:
        """Count once more, now that much time has passed: a late duplicate must not be missed."""
        # What may stay alive ends with the server, which an outage of a later trial stops.
        return _verdict(trial) if trial.expected.alive else _result(trial)


def _until_reached(trial: Trial, disturbance: Disturbance) -> None:
    with _watched(trial, say=False):
        trial.start()
        disturbance.reach(trial)


def _until_end(trial: Trial, disturbance: Disturbance) -> None:
    if not trial.observed.error:
        with _watched(trial):
            disturbance.end(trial)


@contextmanager
def _watched(trial: Trial, say: bool = True) -> Iterator[None]:
    """Keep what goes wrong in a trial as its result, and leave nothing of it running."""
    began = time.monotonic()
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the trial's result
        trial.observed.error = f"{type(error).__name__}: {error}"[:600]
        _abandon(trial)
    if say or trial.observed.error:
        verdict = {name: count for name, count in _result(trial).items() if name in _FAULTS and count}
        _say(f"{trial.name}: {verdict or 'as expected'} in {time.monotonic() - began:.0f} s {trial.observed}")
        if verdict:
            _show_logs(trial)


def _abandon(trial: Trial) -> None:
    try:
        trial.airflow.client.mark_run(trial.key.dag_id, trial.name, "failed")
    except Exception as error:  # noqa: BLE001 - it is the trial's result already
        _say(f"{trial.name}: {error}")


def _show_logs(trial: Trial) -> None:
    for key in trial.keys[:1]:
        for number in range(1, trial.observed.tries + 1):
            with suppress(Exception):
                text = "\n".join(trial.airflow.client.log(key, number).splitlines()[-40:])
                _say(f"{trial.name}, log of try {number}:\n{text}")


_FAULTS = ("duplicates", "orphans", "wrong")


def _result(trial: Trial) -> dict[str, Any]:
    try:
        trial.count()
    except Exception as error:  # noqa: BLE001 - a trial that cannot be counted is a wrong one
        trial.observed.error = trial.observed.error or f"{type(error).__name__}: {error}"[:600]
    return _verdict(trial)


def _verdict(trial: Trial) -> dict[str, Any]:
    return {
        "cause": trial.cause.key,
        "mode": trial.mode,
        "leg": LEG,
        "number": trial.number,
        "stock": trial.stock,
        **asdict(trial.observed),
        **judge(trial.observed, trial.expected, len(trial.keys)),
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


@contextmanager
def chaos(
    directory: Path, seed: int, slots: int = 8, parallelism: int = 20, stock: bool = False
) -> Iterator[Chaos]:
    """Start Airflow and the slots.

    :param directory: for everything; it must exist.
    :param slots: trials side by side.
    :param parallelism: tasks side by side.
    :param stock: with the Dags of the stock Databricks provider's operator.
    """
    places = [Slot(number, directory) for number in range(slots)]
    env = {name: value for place in places for name, value in place.connections.items()}
    cluster = AirflowCluster(Settings(directory / "airflow", parallelism=parallelism, env=env))
    dags = cluster.home / "dags"
    try:
        dags.mkdir(parents=True)
        for place in places:
            cluster.add_dag(f"slot_{place.number}", source(place.number, place.conn_id, str(place.code)))
            if stock:
                cluster.add_dag(f"stock_{place.number}", stock_source(place.number, f"stock_{place.number}"))
        with cluster:
            for place in places:
                for shape in (*SHAPES, *(["stock"] if stock else [])):
                    for mode in ("sync", "deferrable"):
                        cluster.client.wait_dag(dag_id(shape, mode, place.number))
            yield Chaos(cluster, places, seed)
    finally:
        for place in places:
            place.stop()
