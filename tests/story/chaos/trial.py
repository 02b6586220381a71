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
"""One trial: one Dag run in one slot, something that happens to it, and the count afterwards."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from tests.story.airflow_cluster import (
    FINISHED,
    AirflowCluster,
    TaskKey,
    TaskProcess,
    TaskView,
    send,
    task_process,
    wait_for,
)
from tests.story.chaos.causes import Cause, Leg, Mode, Outcome
from tests.story.chaos.dags import dag_id
from tests.story.chaos.slots import Slot

__all__ = ["Observed", "Trial", "judge"]

WAITING = frozenset({"running", "deferred"})


@dataclass
class Observed:
    """What a trial came to.

    :param runs: runs created.
    :param alive: runs that were alive when everything was over.
    :param cancelled: runs that ended cancelled.
    :param task: final state of the task, or of all mapped ones together.
    :param tries: the task's last try.
    :param results: full results in XCom that belong to the newest run.
    :param error: why the trial could not be finished.
    """

    runs: int = 0
    alive: int = 0
    cancelled: int = 0
    task: str | None = None
    tries: int = 0
    results: int = 0
    error: str = ""


@dataclass
class Trial:
    """A Dag run whose task is hurt.

    :param cause: what happens.
    :param number: counts the trials of a cause and mode.
    :param random: of this trial only.
    :param stock: tries the stock Databricks provider's operator instead.
    """

    cause: Cause
    mode: Mode
    leg: Leg
    number: int
    slot: Slot
    airflow: AirflowCluster
    random: Random
    stock: bool = False
    observed: Observed = field(default_factory=Observed)

    @property
    def name(self) -> str:
        """The id of the Dag run and the name of the experiment."""
        # No name is the beginning of another one: runs are found by it.
        return f"{self.cause.key}-{self.mode}{'-stock' if self.stock else ''}-{self.number:03d}"

    @property
    def key(self) -> TaskKey:
        """The task instance."""
        shape = "stock" if self.stock else self.cause.shape
        return TaskKey(dag_id(shape, self.mode, self.slot.number), self.name, "train")

    @property
    def expected(self) -> Outcome:
        """What must happen."""
        return self.cause.expected(self.mode, self.leg)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs of this trial, oldest first."""
        return self.slot.runs(self.name)

    @property
    def alive(self) -> list[dict[str, Any]]:
        """The runs of this trial that have not ended."""
        return [run for run in self.runs if run["alive"]]

    @property
    def view(self) -> TaskView:
        """The task instance as Airflow shows it."""
        return self.airflow.client.task(self.key)

    @property
    def views(self) -> list[TaskView]:
        """The task instance, or all the mapped ones."""
        return [self.airflow.client.task(key) for key in self.keys]

    def start(self) -> None:
        """Create the Dag run; its run stays alive until it is released."""
        self.slot.air.on(f"{self.name}*").hangs()
        self.create_dag_run()

    def create_dag_run(self) -> None:
        """Create the Dag run; its code is new to the workspace, so that the launch has it to upload."""
        code = self.slot.code / self.name
        code.mkdir(exist_ok=True)
        (code / "train.py").write_text(f"print({self.name!r})\n")
        self.airflow.client.trigger(self.key.dag_id, self.name)

    def wait_until_waiting(self, run: int = 1, than: int = 0) -> None:
        """Wait until the task waits for its run.

        :param run: how many runs must have been created by then.
        :param than: the try must be later than this one.
        """
        state = "deferred" if self.mode == "deferrable" else "running"

        def ask() -> bool:
            view = self.view
            return view.state == state and view.try_number > than and len(self.runs) >= run

        what = f"{self.name} to be {state} with run {run}, in a try after {than}"
        wait_for(ask, f"{what}; {self.describe()}")
        # The launch has looked at the run as well: only a look from now on shows that somebody follows it.
        last = max((one.number for one in self.slot.air.requests()), default=0)

        def is_watched() -> bool:
            looks = self.slot.air.requests("GET", "*/jobs/runs/get", after=last)
            newest = str(self.runs[-1]["run_id"])
            # The trigger of the stock operator names it where no journal looks.
            return any(self.stock or newest in look.query.get("run_id", []) for look in looks)

        wait_for(is_watched, f"a look at the newest run; {self.describe()}")

    def process(self) -> TaskProcess:
        """Return the processes of the running task."""
        return task_process(self.airflow.client, self.key)

    def kill(self) -> None:
        """SIGKILL the process that runs the task."""
        send(self.process().pid, signal.SIGKILL)

    def release(self) -> None:
        """Let all living runs of the trial succeed."""
        for run in self.alive:
            self.slot.air.release(run["run_id"])

    def wait_for_try(self, than: int, states: frozenset[str] = WAITING | FINISHED) -> TaskView:
        """Wait for a try after *than*."""

        def ask() -> TaskView | None:
            view = self.view
            return view if view.try_number > than and view.state in states else None

        return wait_for(ask, f"{self.name} to be tried again after try {than}; {self.describe()}", 240)

    def wait_for_dag_run(self, state: str) -> None:
        """Wait for the Dag run's end: what is cleared before that is never scheduled."""
        client = self.airflow.client
        wait_for(lambda: client.run_state(self.key.dag_id, self.name) == state, f"{self.name} to be {state}")

    def wait_for_end(self) -> None:
        """Wait until the task is over and its runs have ended, as far as they do."""
        for key in self.keys:
            self.airflow.client.wait_task(key, FINISHED, 300)
        try:
            wait_for(lambda: not self.alive, "the runs to end", 20 if self.expected.alive else 60)
        except TimeoutError:
            return  # an orphan, which the count shows

    def count(self) -> Observed:
        """Count runs, task and XCom, now that it is over."""
        seen, runs = self.observed, self.runs
        seen.runs, seen.alive = len(runs), len(self.alive)
        seen.cancelled = sum(run["state"].get("result_state") == "CANCELED" for run in runs)
        views = [(key, self.airflow.client.task(key)) for key in self.keys]
        states = {str(view.state) for _, view in views}
        seen.task = states.pop() if len(states) == 1 else "mixed"
        seen.tries = max(view.try_number for _, view in views)
        own = {
            key.map_index: runs if key.map_index < 0 else self._of_index(key.map_index) for key, _ in views
        }
        seen.results = sum(self._has_result(key, own[key.map_index]) for key, _ in views)
        return seen

    def describe(self) -> str:
        """Return what is known of the trial, for errors."""
        runs = [f"{run['run_id']}:{run['state']['life_cycle_state']}" for run in self.runs]
        return f"dag {self.key.dag_id}, runs {runs}"

    @property
    def keys(self) -> list[TaskKey]:
        """The task instance, or all the mapped ones."""
        if self.cause.shape != "mapped":
            return [self.key]
        return [TaskKey(self.key.dag_id, self.name, "train", index) for index in range(10)]

    def _of_index(self, index: int) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["run_name"] == f"{self.name}-{index}"]

    def _has_result(self, key: TaskKey, runs: list[dict[str, Any]]) -> bool:
        if not runs:
            return False
        if self.stock:
            # The stock operator returns nothing; it pushes the run's id.
            return bool(self.airflow.client.xcom(key, "run_id") == runs[-1]["run_id"])
        value = self.airflow.client.xcom(key) or {}
        full = value.get("state") == "SUCCESS" and value.get("mlflow_run_id")
        return bool(full and value["run_id"] == runs[-1]["run_id"])


def judge(observed: Observed, expected: Outcome, mapped: int = 1) -> dict[str, int]:
    """Return what is wrong: ``duplicates``, ``orphans`` and ``wrong`` outcomes.

    :param mapped: task instances of the trial.
    """
    closed = expected.luck and observed.alive < expected.alive
    want = {
        "task": expected.task,
        "results": mapped if expected.result else 0,
        "cancelled": expected.cancelled + (expected.alive - observed.alive if closed else 0),
    }
    got = {name: value for name, value in asdict(observed).items() if name in want}
    return {
        "duplicates": max(0, observed.runs - expected.runs),
        "orphans": max(0, observed.alive - expected.alive),
        "wrong": int(
            bool(observed.error)
            or got != want
            or observed.runs < expected.runs
            or (observed.alive < expected.alive and not closed)
        ),
    }
