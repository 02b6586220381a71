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
"""What a row of the reliability table is made of: a cause, and what must become of the task and its run.

It imports nothing but the standard library, so that the documentation can be built anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "AUTHOR",
    "EXECUTORS",
    "LEGS",
    "MODES",
    "NO_CHANCE",
    "Cause",
    "Executor",
    "Gap",
    "Leg",
    "Mode",
    "Outcome",
    "Which",
]

Mode = Literal["sync", "deferrable"]
Leg = Literal["2.11", "3.3"]
Executor = Literal["LocalExecutor", "CeleryExecutor"]
Which = Literal["none", "older", "all"]
MODES: tuple[Mode, ...] = ("sync", "deferrable")
LEGS: tuple[Leg, ...] = ("2.11", "3.3")
EXECUTORS: tuple[Executor, ...] = ("LocalExecutor", "CeleryExecutor")
AUTHOR = "chosen by the author"
SEAM_TRIALS = 20
NO_CHANCE = "Airflow gives no code of ours a chance"


@dataclass(frozen=True)
class Gap:
    """Why one run may stay alive without anyone who follows it. A second run beside it is never a gap.

    :param kind: ``AUTHOR`` or ``NO_CHANCE``.
    :param closes: what ends the run.
    """

    kind: str
    closes: str


@dataclass(frozen=True)
class Outcome:
    """How a trial must end.

    :param words: what becomes of the run, for the documentation.
    :param task: final state of the task instance.
    :param runs: how many runs are created, at least.
    :param most: how many at most; None for as many as at least.
    :param ended: which runs somebody asks the workspace to end: none, all but the newest, or all.
    :param result: whether the task's XCom holds the result of the newest run; None where either is right.
    :param tries: how many tries the task has had in the end, at least.
    :param most_tries: how many at most; None for as many as at least.
    :param gap: why a run may be left alive.
    :param within: seconds from the run's end to the task's end.
    """

    words: str
    task: str = "success"
    runs: int = 1
    most: int | None = None
    ended: Which = "none"
    result: bool | None = True
    tries: int = 1
    most_tries: int | None = None
    gap: Gap | None = None
    within: float = 120.0


@dataclass(frozen=True)
class Cause:
    """One row.

    :param key: its name in the code.
    :param title: completes 'what happens to my run when ...', for the documentation.
    :param group: the heading that it stands under.
    :param outcome: what must happen.
    :param modes: the modes that it can happen in.
    :param exceptions: where the outcome is another one, by mode and Airflow version.
    :param trials: how often it is tried in each mode.
    :param shape: the Dag that it is tried with, see ``dags.py``.
    :param shared: hurts the whole Airflow, so that its trials go through it together.
    :param patience: seconds that Airflow may take until it tries the task again.
    :param executors: the executors that it can happen with.
    :param story: the modes in which ``make test`` makes one trial of it, too.
    """

    key: str
    title: str
    group: str
    outcome: Outcome
    modes: tuple[Mode, ...] = MODES
    exceptions: Mapping[tuple[Mode, Leg], Outcome] = field(default_factory=dict)
    trials: int = 10
    shape: str = "plain"
    shared: bool = False
    patience: float = 150.0
    executors: tuple[Executor, ...] = EXECUTORS
    story: tuple[Mode, ...] = ()

    @property
    def is_seam(self) -> bool:
        """Whether it hurts where one hands over to another: where a second run is made, if anywhere."""
        return self.trials >= SEAM_TRIALS

    def expected(self, mode: Mode, leg: Leg) -> Outcome:
        """Return what must happen in a mode on an Airflow."""
        return self.exceptions.get((mode, leg), self.outcome)
