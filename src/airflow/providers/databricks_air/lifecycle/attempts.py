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
"""What Airflow, in its versions, says of a task instance and its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_0_PLUS, COUNTS_EVERY_CLEAR, names_of

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "GONE",
    "Seen",
    "ask_database",
    "ask_own_state",
    "clear_count",
    "dag_run_row",
    "earlier_successes",
    "is_former_attempt",
    "is_gone",
    "is_same_dag_run",
    "only_we_have_begun",
    "unmoved_start",
]


class Seen(NamedTuple):
    """What Airflow says of a task instance.

    :param state: its state; None for none, as after a clear.
    :param try_number: its attempt; None where Airflow does not say.
    :param is_resuming: whether it goes on after a deferral; None where Airflow does not say.
    """

    state: str | None
    try_number: int | None = None
    is_resuming: bool | None = None


# The answer is there and the task instance is not: somebody has deleted the Dag run.
GONE = Seen("removed")


def clear_count(context: Context) -> int | None:
    """Return how often tasks of the Dag run were cleared; None where Airflow does not count all of it.

    Airflow up to 3.2 counts a clear in a *finished* Dag run only, which proves nothing.
    """
    number = getattr(context["dag_run"], "clear_number", None) if COUNTS_EVERY_CLEAR else None
    return None if number is None else int(number)


def unmoved_start(context: Context) -> float | None:
    """Return when the Dag run began, in seconds since the epoch; None where a clear may have moved that.

    A clear moves it only in a Dag run that is finished, and counts itself then.
    """
    dag_run: Any = context["dag_run"]
    is_moved = getattr(dag_run, "clear_number", None) != 0 or dag_run.start_date is None
    return None if is_moved else float(dag_run.start_date.timestamp())


def dag_run_row(context: Context) -> int | None:
    """Return the row id of the Dag run, which differs when it is created again; None on Airflow 3."""
    dag_run: Any = context["dag_run"]
    return None if AIRFLOW_V_3_0_PLUS else getattr(dag_run, "id", None)


def earlier_successes(ti: Any) -> int:
    """Return how many earlier tries of a task instance ended as success; 0 where Airflow does not tell.

    Airflow never tries a success again by itself, so each of them was cleared.

    :param ti: the running task instance.
    """
    if AIRFLOW_V_3_0_PLUS:
        return 0
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session

    with create_session() as session:
        tries = session.query(TaskInstanceHistory).filter_by(**names_of(ti), state="success")
        return int(tries.filter(TaskInstanceHistory.try_number < ti.try_number).count())


def only_we_have_begun(ti: Any) -> bool | None:
    """Say whether no other task instance of the Dag run has ever had a state; None when there is no answer.

    :param ti: the running task instance.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    by_task: Mapping[str, Any] | None = states.get(ti.run_id)
    if not by_task:
        return None
    own = ti.task_id if ti.map_index is None or ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    return not any(state for task, state in by_task.items() if task != own)


def is_gone(error: BaseException) -> bool:
    """Say whether an error of Airflow's own channel means that this task instance is not there any more.

    A clear gives the task instance a new id (Airflow 3), and a deletion takes it away: what is kept under the old
    id is answered with 404, 409 or 410.

    :param error: what storing a value has raised.
    """
    return _status(error) in {404, 409, 410} or is_former_attempt(error)


def is_former_attempt(error: BaseException) -> bool:
    """Say whether Airflow refuses to answer because another attempt has taken this one's place (3.4 and later).

    :param error: what a question on Airflow's own channel has raised.
    """
    return _status(error) == 403 and "not a live attempt" in str(getattr(error, "error", ""))


def _status(error: BaseException) -> Any:
    detail = getattr(getattr(error, "error", None), "detail", None)
    return detail.get("status_code") if isinstance(detail, Mapping) else None


def ask_own_state(ti: Any, row: int | None = None) -> Seen | None:
    """Ask Airflow for the present state of a task instance; None when there is no answer.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param row: id of the Dag run's row, if it is known: another one means that ours was deleted.
    """
    return _ask_supervisor(ti) if AIRFLOW_V_3_0_PLUS else ask_database(ti, row)


def _ask_supervisor(ti: Any) -> Seen | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    map_index = -1 if ti.map_index is None else ti.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id,
        task_ids=[ti.task_id],
        run_ids=[ti.run_id],
        map_index=map_index if map_index >= 0 else None,
    )
    by_task: Mapping[str, Any] | None = states.get(ti.run_id)
    if not by_task:
        return GONE
    value = by_task.get(f"{ti.task_id}_{map_index}" if map_index >= 0 else ti.task_id)
    return Seen(None if value is None else str(getattr(value, "value", value)))


def ask_database(ti: Any, row: int | None = None) -> Seen | None:
    """Ask Airflow's database for the state of a task instance, as Airflow 2's tasks and all commands may.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param row: id of the Dag run's row, if it is known: another one means that ours was deleted.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = (
            session.query(TaskInstance.state, TaskInstance.try_number, TaskInstance.next_method, DagRun.id)
            .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
            .filter(*(getattr(TaskInstance, name) == value for name, value in names_of(ti).items()))
            .one_or_none()
        )
    if found is None or (row is not None and found[3] != row):
        return GONE
    return Seen(found[0], found[1], found[2] is not None)


def is_same_dag_run(ti: Any, began: datetime | None) -> bool:
    """Say whether the Dag run of that name is still the one that began then; True where Airflow does not tell.

    The row of the task instance tells it on Airflow 2, see ``ask_own_state``; 3.0 and 3.1 have no such question.
    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: the running task instance.
    :param began: the start of its Dag run, as the task was told.
    """
    if not AIRFLOW_V_3_0_PLUS or began is None:
        return True
    from airflow.sdk.execution_time import comms, task_runner

    question = getattr(comms, "GetDagRun", None)
    if question is None:
        return True
    try:
        answer = task_runner.SUPERVISOR_COMMS.send(question(dag_id=ti.dag_id, run_id=ti.run_id))
    except Exception as error:
        if is_gone(error):
            return False
        raise
    return getattr(answer, "start_date", began) == began
