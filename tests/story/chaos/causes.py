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
"""What may happen to a task, and what must become of its run: the one table.

The chaos runner, the story tests and the table 'what happens to my run when...' of the documentation are all
made from it. It imports nothing but the standard library, so that the documentation can be built anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CAUSES", "LEGS", "MODES", "Cause", "Leg", "Mode", "Outcome", "cause"]

Mode = Literal["sync", "deferrable"]
Leg = Literal["2.11", "3.3"]
MODES: tuple[Mode, ...] = ("sync", "deferrable")
LEGS: tuple[Leg, ...] = ("2.11", "3.3")


@dataclass(frozen=True)
class Outcome:
    """How a trial must end.

    :param words: what becomes of the run, for the documentation.
    :param task: final state of the task instance.
    :param runs: how many runs are created.
    :param cancelled: how many of them end cancelled.
    :param result: whether the task's XCom holds the full result of the newest run.
    :param alive: how many are left alive; anything but 0 is a gap that nobody can close, and is said so.
    :param luck: whether what may be left alive is cancelled in some trials; it depends on who is faster.
    :param retried: whether the task needs another try.
    """

    words: str
    task: str = "success"
    runs: int = 1
    cancelled: int = 0
    result: bool = True
    alive: int = 0
    luck: bool = False
    retried: bool = False


@dataclass(frozen=True)
class Cause:
    """One row.

    :param key: its name in the code.
    :param title: completes 'what happens to my run when ...', for the documentation.
    :param outcome: what must happen.
    :param modes: the modes that it can happen in.
    :param exceptions: where the outcome is another one, by mode and Airflow version.
    :param trials: how often it is tried in each mode.
    :param shape: the Dag that it is tried with, see ``dags.py``.
    :param shared: hurts the whole Airflow, so that its trials go through it together.
    :param story: numbers of the trials that ``make test`` makes, too.
    """

    key: str
    title: str
    outcome: Outcome
    modes: tuple[Mode, ...] = MODES
    exceptions: Mapping[tuple[Mode, Leg], Outcome] = field(default_factory=dict)
    trials: int = 5
    shape: str = "plain"
    shared: bool = False
    story: tuple[int, ...] = ()

    def expected(self, mode: Mode, leg: Leg) -> Outcome:
        """Return what must happen in a mode on an Airflow."""
        return self.exceptions.get((mode, leg), self.outcome)


FOLLOWED = Outcome(
    "Stays alive. The next try of the task follows it; no second run is started.", retried=True
)
WATCHED_ON = Outcome("Stays alive. The watch goes on where it was; the task needs no further try.")
CANCELLED = Outcome("Is cancelled.", task="failed", cancelled=1, result=False)
FRESH = Outcome("The old run has ended; a fresh one is started.", runs=2)
REPLACED = Outcome("Is cancelled; a fresh one is started.", runs=2, cancelled=1)

CAUSES: tuple[Cause, ...] = (
    Cause(
        "kill-at-submit",
        "the task's process is killed (SIGKILL, out of memory) anywhere in the launch",
        Outcome("Is created once. The next try follows it, or creates it if it was not created yet."),
        trials=22,  # before and after each of the eleven requests
        story=(2, 3),  # the submission: after and before the server has done it
    ),
    Cause(
        "kill-while-waiting",
        "the task's process is killed while it waits for the run",
        FOLLOWED,
        modes=("sync",),
    ),
    Cause(
        "kill-at-resume",
        "the run has ended and the task's process is killed before it has returned the result",
        Outcome("Has ended. The next try returns its result; no second run is started."),
    ),
    Cause(
        "eviction",
        "the worker gets SIGTERM (eviction, node drain, rolling deploy)",
        FOLLOWED,
        modes=("sync",),
        story=(0,),
    ),
    Cause(
        "eviction-at-submit",
        "the worker gets SIGTERM in the middle of the launch",
        FOLLOWED,
    ),
    Cause(
        "node-loss",
        "the whole worker disappears (node loss)",
        Outcome(
            "Stays alive. The next try, which Airflow starts after the heartbeat timeout, follows it; "
            "no second run is started."
        ),
        modes=("sync",),
    ),
    Cause(
        "mark-failed",
        "a user marks the task as failed",
        CANCELLED,
        story=(0,),
    ),
    Cause(
        "mark-success",
        "a user marks the task as successful",
        Outcome("Is cancelled.", task="success", cancelled=1, result=False),
    ),
    Cause(
        "mark-unwatched",
        "a user marks the task as failed while no triggerer runs, or in the second before one takes it up",
        Outcome(
            "May stay alive: no code of the task runs anywhere that could end it, unless a triggerer takes it up "
            "before Airflow forgets it. It ends when it is done, or after "
            "its ``timeout_minutes``; clearing the task ends it where Airflow has a task state store (3.3 and "
            "later).",
            task="failed",
            result=False,
            alive=1,
            luck=True,
        ),
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "clear-live",
        "a user clears the task while its run is alive",
        REPLACED,
        story=(0,),
    ),
    Cause(
        "mark-detached",
        'a user marks the task as failed, and the operator has ``on_kill="detach"``',
        Outcome("Stays alive; ending it is up to you.", task="failed", result=False, alive=1),
        shape="detached",
    ),
    Cause(
        "clear-adopted",
        'a user clears the task while its run is alive, and the operator has ``on_clear="adopt"``',
        FOLLOWED,
        shape="adopting",
    ),
    Cause(
        "clear-unwatched",
        "a user clears the task while no triggerer runs",
        Outcome("Is cancelled by the new try, which starts a fresh one.", runs=2, cancelled=1),
        modes=("deferrable",),
        exceptions={
            ("deferrable", "2.11"): Outcome(
                "Stays alive beside the fresh one: no code of the old try runs anywhere, and Airflow 2 keeps "
                "nothing that the new try could know it by. It ends when it is done, or after its "
                "``timeout_minutes``.",
                runs=2,
                alive=1,
            )
        },
        shared=True,
    ),
    Cause(
        "clear-finished",
        "a user clears the task after it has succeeded",
        FRESH,
        story=(0,),
    ),
    Cause(
        "clear-failed",
        "a user clears the task after its run has failed",
        FRESH,
        shape="once",
    ),
    Cause(
        "clear-sibling",
        "a user clears another task of the Dag run, and the task's process is killed",
        Outcome("Stays alive. The next try follows it: other tasks make no difference."),
        modes=("sync",),
        shape="siblings",
    ),
    Cause(
        "recreate-finished",
        "a finished Dag run is deleted and created again under the same id",
        FRESH,
    ),
    Cause(
        "delete-live",
        "the Dag run is deleted while the run is alive, and created again under the same id",
        REPLACED,
        story=(0,),
    ),
    Cause(
        "failing-run",
        "the run fails and the task has tries left",
        Outcome("Has ended; every further try starts a fresh one.", runs=3),
    ),
    Cause(
        "execution-timeout",
        "``execution_timeout`` passes",
        CANCELLED,
        shape="timed",
        story=(0,),
    ),
    Cause(
        "mapped",
        "one of ten mapped tasks loses its process",
        Outcome("Each index has a run of its own. The next try of the killed one follows its run.", runs=10),
        modes=("sync", "deferrable"),
        shape="mapped",
    ),
    Cause(
        "workspace-outage",
        "the workspace cannot be reached for a minute",
        Outcome("Stays alive. The wait goes on; the task needs no further try."),
    ),
    Cause(
        "api-outage",
        "Airflow's API server is away for a minute",
        FOLLOWED,
        exceptions={
            ("sync", "2.11"): WATCHED_ON,
            ("deferrable", "2.11"): WATCHED_ON,
            ("deferrable", "3.3"): WATCHED_ON,
        },
        shape="patient",
        shared=True,
    ),
    Cause(
        "api-outage-hasty",
        "Airflow's API server is away until the task's retries are used up (``retries`` x ``retry_delay`` too short)",
        Outcome(
            "Stays alive: Airflow 3 ends a task that cannot reach the API server, and fails every further try "
            "before any code of it runs. Clearing the task ends it, where a fresh one is started.",
            task="failed",
            result=False,
            alive=1,
        ),
        modes=("sync",),
        exceptions={("sync", "2.11"): WATCHED_ON},
        shape="hasty",
        shared=True,
    ),
    Cause(
        "triggerer-kill",
        "the only triggerer is killed and started again",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "triggerer-term",
        "the only triggerer gets SIGTERM and is started again (rolling deploy)",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "triggerer-pause",
        "the only triggerer stands still for 40 seconds",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "triggerers-kill",
        "one of two triggerers is killed",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "triggerers-term",
        "one of two triggerers gets SIGTERM (rolling deploy)",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "triggerers-pause",
        "one of two triggerers stands still for 40 seconds, and the other takes over",
        WATCHED_ON,
        modes=("deferrable",),
        shared=True,
        story=(0,),
    ),
)


def cause(key: str) -> Cause:
    """Return the row of that name."""
    return next(one for one in CAUSES if one.key == key)
