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
"""Who ended a task, and what that means for its run.

A person's act cancels the run; losing a worker or a triggerer leaves it alive for the next try. 'No answer'
never means 'a person'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.databricks_air.lifecycle.attempts import GONE, Seen, ask_own_state, is_same_dag_run

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.databricks_air.arguments import OnClear, OnKill

__all__ = [
    "CLEARED_WHILE_RUNNING",
    "ON_ITS_WAY",
    "USER_STATES",
    "RunPolicy",
    "Verdict",
    "ask_for_task",
    "judge_trigger",
    "judge_worker",
]

# States that only a person's act, or a verdict without a further try, puts a task instance into while it runs.
CLEARED_WHILE_RUNNING = "restarting"
USER_STATES = frozenset({"failed", "success", "skipped", "upstream_failed", "removed", CLEARED_WHILE_RUNNING})
# On its way back to a worker, after a deferral or after a clear; only what follows tells which.
ON_ITS_WAY = frozenset({"scheduled", "queued", "running"})


@dataclass(frozen=True)
class RunPolicy:
    """What the author of a task wants to become of its run.

    :param on_kill: whether a person's end of the task, or a deadline, cancels the run.
    :param on_clear: what a cleared task does with its old run.
    :param durable: whether a later try adopts the run.
    """

    on_kill: OnKill
    on_clear: OnClear
    durable: bool


class Verdict(NamedTuple):
    """Whether to cancel the run, and why; None where it is too early to tell."""

    cancel: bool | None
    why: str


def ask_for_task(ti: Any, began: datetime | None, on_clear: OnClear, row: int | None = None) -> Seen | None:
    """Ask Airflow for the state of this very task instance, which may have a successor of the same name.

    Airflow 3 answers by name: a Dag run that was deleted and created again has a task instance that runs. The Dag
    run tells them apart; the id of the task instance would not, for a retry gives it a new one, too, and its run is
    ours. With ``on_clear="adopt"`` the name has to do. Blocks on Airflow's own channel.

    :param ti: the task instance.
    :param began: when its Dag run did.
    :param on_clear: what a cleared task does with its old run.
    :param row: id of the Dag run's row, where there is one.
    """
    seen = ask_own_state(ti, row)
    is_clear = seen is None or seen.state in USER_STATES | {"up_for_retry"}
    return seen if is_clear or on_clear == "adopt" or is_same_dag_run(ti, began) else GONE


def judge_worker(
    seen: Seen | None, *, try_number: int, is_adoptable: bool, timed_out: bool, on_clear: OnClear
) -> Verdict:
    """Decide for the process of a task that is told to end.

    :param seen: what Airflow says of the task instance; None for no answer.
    :param try_number: the attempt that this process is.
    :param is_adoptable: whether Airflow tries again by itself, and that try adopts the run.
    :param timed_out: whether ``execution_timeout`` is what ends it.
    :param on_clear: what a cleared task does with its old run.
    """
    if timed_out:
        return Verdict(True, "execution_timeout has passed")
    if seen is not None and seen.try_number is not None and seen.try_number > try_number:
        return Verdict(False, "a newer attempt has taken over")
    if seen is not None and seen.state == CLEARED_WHILE_RUNNING and on_clear == "adopt":
        return Verdict(False, "the cleared task will adopt the run")
    if seen is not None and seen.state in USER_STATES:
        return Verdict(True, f"the task instance was set to {seen.state}")
    if not is_adoptable:
        return Verdict(True, "the worker is going away and no later try adopts the run")
    if seen is None:
        return Verdict(False, "Airflow does not answer, which is no user's act")
    return Verdict(False, f"the worker is going away while the task instance is {seen.state}")


def judge_trigger(
    seen: Seen | None, *, run_id: int, try_number: int, owner: tuple[int, int] | None, on_clear: OnClear
) -> Verdict:
    """Decide for a trigger that is cancelled.

    A triggerer that is late, or was taken for dead, cancels triggers of tasks that nobody has touched. A task on
    its way back to a worker is one that its trigger has resumed, or one that was cleared: which of them, only
    the marker of the attempt that then runs can tell.

    :param seen: what Airflow says of the task instance; None for no answer.
    :param run_id: the run that the trigger watches.
    :param try_number: the attempt that the trigger belongs to.
    :param owner: attempt and run of the marker that the newest attempt has left; None for no marker, which a
        fresh attempt begins with.
    :param on_clear: what a cleared task does with its old run.
    """
    if seen is None:
        return Verdict(None, "Airflow does not answer, which is no user's act")
    if owner is not None and owner[0] >= try_number and owner[1] != run_id:
        # Of a newer attempt, or of the same one in a Dag run that was deleted and created again.
        return Verdict(True, f"the task has another run, {owner[1]}")
    if owner is not None and owner[0] > try_number:
        return Verdict(False, "a newer attempt has adopted the run")
    if seen.state in USER_STATES:
        return Verdict(True, f"the task instance was set to {seen.state}")
    if on_clear == "adopt":
        return Verdict(False, "the cleared task will adopt the run")
    if seen.state is None:
        return Verdict(True, "the task instance was cleared")
    if seen.try_number is not None and seen.try_number > try_number:
        return Verdict(None, "a newer attempt has not said yet which run is its own")
    return _same_attempt(seen, owner)


def _same_attempt(seen: Seen, owner: tuple[int, int] | None) -> Verdict:
    if seen.state == "deferred":
        return Verdict(False, "another triggerer watches the run")
    if seen.state not in ON_ITS_WAY:
        return Verdict(False, f"the task instance is {seen.state}, and its next try adopts the run")
    if seen.is_resuming:
        return Verdict(False, "the task takes over from its trigger")
    if seen.is_resuming is False and seen.state != "running":
        return Verdict(True, "the task instance was cleared")
    if owner is not None and seen.state == "running":
        return Verdict(None, "the task seems to take over from its trigger")
    return Verdict(None, f"the task instance is {seen.state}, on its way back to a worker")
