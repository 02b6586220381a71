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
"""What differs between the supported versions of Airflow; the only module that looks at the version."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "AIRFLOW_VERSION",
    "AIRFLOW_V_3_0_PLUS",
    "AIRFLOW_V_3_1_PLUS",
    "GONE",
    "KILL_HANDLER_MUST_RAISE",
    "KILL_SECONDS",
    "LOG_OF_SECOND_TRIGGER_IS_NEW",
    "TRIGGER_HAS_ON_KILL",
    "Seen",
    "StateStore",
    "airflow_instance",
    "ask_database",
    "ask_own_state",
    "async_connection",
    "bundle_version",
    "call_after_report",
    "clear_count",
    "dag_run_row",
    "delete_own_xcoms",
    "earlier_successes",
    "is_gone",
    "is_in_process",
    "is_same_dag_run",
    "is_trial",
    "metrics_sink",
    "only_we_have_begun",
    "read_own_xcom",
    "state_store",
    "unmoved_start",
    "write_own_xcom",
    "xcom_of_database",
]

AIRFLOW_VERSION = _airflow_version
_VERSION = Version(Version(_airflow_version).base_version)
AIRFLOW_V_3_0_PLUS = Version("3.0.0") <= _VERSION
AIRFLOW_V_3_1_PLUS = Version("3.1.0") <= _VERSION
TRIGGER_HAS_ON_KILL = Version("3.3.0") <= _VERSION
# Airflow 2 raises AirflowTaskTerminated after on_kill; from 3.0 on execute simply goes on.
KILL_HANDLER_MUST_RAISE = AIRFLOW_V_3_0_PLUS
# Airflow 3 waits 5 s for on_kill before SIGKILL, whatever is configured; Airflow 2 waits
# [core] killed_task_cleanup_time, which is 60 s unless somebody has changed it.
KILL_SECONDS = 4.5 if AIRFLOW_V_3_0_PLUS else 20.0
# A triggerer of Airflow 3 writes the log of a second trigger of the same try over that of the first.
LOG_OF_SECOND_TRIGGER_IS_NEW = AIRFLOW_V_3_0_PLUS
_COUNTS_EVERY_CLEAR = Version("3.3.0") <= _VERSION


class StateStore(Protocol):
    """Values of one task instance that outlive its attempts (Airflow 3.3 and later)."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or the default."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        ...


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


def state_store(context: Context) -> StateStore | None:
    """Return the task state store, or None where there is none."""
    store: Any = context.get("task_state_store")
    return store  # type: ignore[no-any-return]


def airflow_instance() -> str:
    """Return what tells this Airflow from others that use the same workspace: the address of its pages."""
    from airflow.configuration import conf

    section = "api" if AIRFLOW_V_3_0_PLUS else "webserver"
    return str(conf.get(section, "base_url", fallback="") or "").rstrip("/")


def bundle_version(ti: Any) -> str | None:
    """Return the version of the bundle that the Dag of a task came from, a commit where it is a repository.

    :param ti: the running task instance; Airflow 2 has no bundles.
    """
    version = getattr(getattr(ti, "bundle_instance", None), "version", None)
    return str(version) if version else None


def clear_count(context: Context) -> int | None:
    """Return how often tasks of the Dag run were cleared; None where Airflow does not count all of it.

    Airflow up to 3.2 counts a clear in a *finished* Dag run only, which proves nothing.
    """
    number = getattr(context["dag_run"], "clear_number", None) if _COUNTS_EVERY_CLEAR else None
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
        tries = session.query(TaskInstanceHistory).filter_by(**_own(ti), state="success")
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
    detail = getattr(getattr(error, "error", None), "detail", None)
    return isinstance(detail, Mapping) and detail.get("status_code") in {404, 409, 410}


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
            .filter(*(getattr(TaskInstance, name) == value for name, value in _own(ti).items()))
            .one_or_none()
        )
    if found is None or (row is not None and found[3] != row):
        return GONE
    return Seen(found[0], found[1], found[2] is not None)


def call_after_report(work: Callable[[], None]) -> None:
    """Let a function be called in this process once its task has reported to Airflow how it ended.

    Airflow 3 asks for the operator's links then, which do the same; Airflow 2 tells listeners.

    :param work: takes no argument.
    """
    if AIRFLOW_V_3_0_PLUS:
        return
    from airflow.listeners import hookimpl
    from airflow.listeners.listener import get_listener_manager

    class AfterReport:
        """Hears that the command that runs a task ends; other jobs of this process are others' business."""

        @hookimpl
        def before_stopping(self, component: Any) -> None:
            """Do the work."""
            if type(component).__name__ == "TaskCommandMarker":
                work()

    get_listener_manager().add_listener(AfterReport())  # type: ignore[no-untyped-call]


def is_in_process() -> bool:
    """Say whether ``dags test`` runs this task: its trigger then runs in this very process, and after it."""
    if not AIRFLOW_V_3_0_PLUS:
        return False
    from airflow.sdk.execution_time import task_runner

    return type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"


def is_trial(context: Context) -> bool:
    """Say whether ``dags test`` or ``tasks test`` runs this task: what Airflow says of it is of another time."""
    return bool(context.get("test_mode")) or is_in_process()


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


async def async_connection(conn_id: str) -> tuple[Any, Mapping[str, Any]]:
    """Return a connection and its extra, without blocking the event loop.

    :param conn_id: id of the connection.
    """
    from asgiref.sync import sync_to_async

    def read() -> tuple[Any, Mapping[str, Any]]:
        from airflow.providers.common.compat.sdk import BaseHook

        connection = BaseHook.get_connection(conn_id)
        return connection, connection.extra_dejson

    return await sync_to_async(read, thread_sensitive=False)()


def read_own_xcom(ti: Any, key: str) -> Any:
    """Return an XCom of a task instance; None when there is none.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    """
    from airflow.providers.common.compat.sdk import XCom

    return XCom.get_one(key=key, **_own(ti))


def xcom_of_database(ti: Any, key: str) -> Any:
    """Return an XCom of a task instance from Airflow's database, as commands may.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    """
    if not AIRFLOW_V_3_0_PLUS:
        return read_own_xcom(ti, key)
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        row = session.query(XComModel).filter_by(key=key, **_own(ti)).one_or_none()
        return None if row is None else XComModel.deserialize_value(row)


def write_own_xcom(ti: Any, key: str, value: Any) -> None:
    """Keep an XCom of a task instance, over an older one.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    :param value: JSON values.
    """
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(key=key, value=value, **_own(ti))


def delete_own_xcoms(ti: Any, keys: Collection[str]) -> None:
    """Delete XComs of a task instance; one that is not there, or cannot be deleted, stays as it is.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param keys: of the XComs.
    """
    from airflow.providers.common.compat.sdk import XCom

    if AIRFLOW_V_3_0_PLUS:
        for key in keys:
            with contextlib.suppress(Exception):
                XCom.delete(key=key, **_own(ti))
        return
    from airflow.utils.session import create_session

    with contextlib.suppress(Exception), create_session() as session:
        rows = session.query(XCom).filter_by(**_own(ti))
        rows.filter(XCom.key.in_(keys)).delete(synchronize_session=False)


def _own(ti: Any) -> dict[str, Any]:
    return {
        "dag_id": ti.dag_id,
        "task_id": ti.task_id,
        "run_id": ti.run_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
    }


def metrics_sink() -> Any:
    """Return Airflow's ``Stats`` as the triggerer has set it up."""
    stats: Any
    try:
        # The SDK has a copy of its own, which the triggerer does not set up (3.2 and 3.3).
        from airflow.observability import stats
    except ImportError:
        from airflow import stats
    return stats.Stats
