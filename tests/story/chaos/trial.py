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
"""One trial: one Dag run in one slot, something that happens to it, and the count."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.story.airflow_cluster import (
    FINISHED,
    AirflowCluster,
    TaskKey,
    TaskProcess,
    TaskView,
    task_process,
    wait_for,
)
from tests.story.chaos.causes import AUTHOR, Cause, Leg, Mode, Outcome
from tests.story.chaos.dags import INDICES, dag_id
from tests.story.chaos.judge import Observed
from tests.story.chaos.ledger import Ledger
from tests.story.chaos.slots import Slot

__all__ = ["ThrownAwayError", "Trial"]

WAITING = frozenset({"running", "deferred"})
# Seconds in which nothing may change before anything is counted; more, where somebody may yet end a run that
# nobody follows: a triggerer that starts, a heartbeat, a cancel that is sent again.
QUIET = 7.0
LATE = 35.0


class ThrownAwayError(Exception):
    """What should have hurt the task did not: the trial says nothing."""


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
    said: dict[int, int] = field(default_factory=dict)
    settled: bool = False

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
    def keys(self) -> list[TaskKey]:
        """The task instance, or all the mapped ones."""
        if self.cause.shape != "mapped":
            return [self.key]
        return [TaskKey(self.key.dag_id, self.name, "train", index) for index in range(INDICES)]

    @property
    def expected(self) -> Outcome:
        """What must happen."""
        return self.cause.expected(self.mode, self.leg)

    @property
    def ledger(self) -> Ledger:
        """The workspace's record of this trial."""
        return Ledger(self.slot, self.name, by_list=self.cause.shape == "mapped")

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs of this trial, oldest first."""
        return self.ledger.runs

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
        self.write_config("command: 'true'\n")
        self.airflow.client.trigger(self.key.dag_id, self.name)

    def write_config(self, more: str) -> None:
        """Write the configuration file that the shape ``file`` reads."""
        text = (
            f"experiment_name: {self.name}\nmax_retries: 0\n"
            "compute:\n  accelerator_type: GPU_1xA10\n  num_accelerators: 1\n"
        )
        (self.slot.code / f"{self.name}.yaml").write_text(text + more)

    def throw_away(self, why: str) -> None:
        """End the trial without counting it.

        :raises ThrownAwayError: always.
        """
        raise ThrownAwayError(why)

    def verify(self, hurt: bool, why: str) -> None:
        """Throw the trial away unless what should have hurt it did.

        :raises ThrownAwayError: if it did not.
        """
        if not hurt:
            self.throw_away(why)

    def wait_until_waiting(self, run: int = 1, than: int = 0) -> None:
        """Wait until the task waits for its run, and somebody is seen to ask for it.

        :param run: how many runs must have been created by then.
        :param than: the try must be later than this one.
        """
        state = "deferred" if self.mode == "deferrable" else "running"

        def ask() -> bool:
            view = self.view
            return view.state == state and view.try_number > than and len(self.runs) >= run

        what = f"{self.name} to be {state} with run {run}, in a try after {than}"
        wait_for(ask, f"{what}; {self.describe()}", 150)
        # The launch has looked at the run as well: only a look from now on shows that somebody follows it.
        last = self.slot.last_number

        def is_watched() -> bool:
            looks = self.slot.air.requests("GET", "*/jobs/runs/get", after=last)
            newest = str(self.runs[-1]["run_id"])
            return any(newest in look.query.get("run_id", []) for look in looks)

        wait_for(is_watched, f"a look at the newest run; {self.describe()}", 90)

    def process(self) -> TaskProcess:
        """Return the processes of the running task."""
        return task_process(self.airflow.client, self.key)

    def say(self) -> None:
        """Let every living run print a line that no other line is equal to."""
        for run_id in self.ledger.alive:
            self.said[run_id] = self.said.get(run_id, 0) + 1
            self.slot.air.log(run_id, f"{self.line_of(run_id)}{self.said[run_id]:03d}.")

    def line_of(self, run_id: int) -> str:
        """Return what each line of a run begins with."""
        return f"{self.name} run {run_id} line "

    def wait_for_dag_run(self, state: str) -> None:
        """Wait for the Dag run's end: what is cleared before that is never scheduled."""
        client = self.airflow.client
        wait_for(lambda: client.run_state(self.key.dag_id, self.name) == state, f"{self.name} to be {state}")

    def settle(self, patience: float = 150.0) -> None:
        """Wait until nothing changes any more, and count runs before anything of the trial is touched.

        :param patience: seconds for the task to be where the row says; it is counted all the same afterwards.
        """
        began = since = time.monotonic()
        last: object = None
        while time.monotonic() - began < patience:
            now = self._snapshot()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > self._quiet() and self._is_settled():
                break
            time.sleep(0.7)
        self.count_alive()

    def _quiet(self) -> float:
        ledger = self.ledger
        is_over = all(view.state in FINISHED for view in self.views)
        unowned = set(ledger.alive) - ledger.asked_to_end if is_over else ledger.unfollowed
        gap = self.expected.gap
        return LATE if unowned and (gap is None or gap.kind != AUTHOR) else QUIET

    def _snapshot(self) -> object:
        views = tuple((view.state, view.try_number) for view in self.views)
        runs = tuple((run["run_id"], run["alive"]) for run in self.runs)
        return views, runs, tuple(sorted(self.ledger.asked_to_end))

    def _is_settled(self) -> bool:
        views, expected = self.views, self.expected
        if all(view.state in FINISHED for view in views):
            return True
        if not all(view.state in WAITING | FINISHED for view in views) or expected.task in {
            "failed",
            "skipped",
        }:
            return False
        alive = self.ledger.alive
        is_there = (
            max(view.try_number for view in views) >= expected.tries and len(self.runs) >= expected.runs
        )
        return bool(is_there and alive and alive[-1] in self.ledger.followed())

    def count_alive(self) -> None:
        """Count what is alive, and of that what nobody follows; the first time only."""
        seen, ledger = self.observed, self.ledger
        if self.settled:
            return
        self.settled = True
        seen.runs, seen.alive = (
            len(ledger.runs),
            len([r for r in ledger.alive if r not in ledger.asked_to_end]),
        )
        seen.unfollowed = len(ledger.unfollowed)
        if all(view.state in FINISHED for view in self.views):
            seen.unfollowed = seen.alive  # nobody follows them for a task that is over

    def describe(self) -> str:
        """Return what is known of the trial, for errors."""
        runs = [f"{run['run_id']}:{run['state']['life_cycle_state']}" for run in self.runs]
        return f"dag {self.key.dag_id}, runs {runs}"
