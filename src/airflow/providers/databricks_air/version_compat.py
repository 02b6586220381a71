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

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "AIRFLOW_VERSION",
    "AIRFLOW_V_3_0_PLUS",
    "KILL_HANDLER_MUST_RAISE",
    "TRIGGER_HAS_ON_KILL",
    "Seen",
    "StateStore",
    "ask_own_state",
    "async_connection",
    "metrics_sink",
    "read_own_xcom",
    "read_owner",
    "state_store",
    "write_own_xcom",
]

AIRFLOW_VERSION = _airflow_version
_VERSION = Version(Version(_airflow_version).base_version)
AIRFLOW_V_3_0_PLUS = Version("3.0.0") <= _VERSION
TRIGGER_HAS_ON_KILL = Version("3.3.0") <= _VERSION
# Airflow 2 raises AirflowTaskTerminated after on_kill; from 3.0 on execute simply goes on.
KILL_HANDLER_MUST_RAISE = AIRFLOW_V_3_0_PLUS


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
    """

    state: str | None
    try_number: int | None = None


# The answer is there and the task instance is not: somebody has deleted the Dag run.
GONE = Seen("removed")


def state_store(context: Context) -> StateStore | None:
    """Return the task state store, or None where there is none."""
    store: Any = context.get("task_state_store")
    return store  # type: ignore[no-any-return]


def ask_own_state(ti: Any) -> Seen | None:
    """Ask Airflow for the present state of a task instance; None when there is no answer.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    """
    return _ask_supervisor(ti) if AIRFLOW_V_3_0_PLUS else _ask_database(ti)


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


def _ask_database(ti: Any) -> Seen | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        row = (
            session.query(TaskInstance.state, TaskInstance.try_number)
            .filter_by(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)
            .one_or_none()
        )
    return GONE if row is None else Seen(row[0], row[1])


async def async_connection(conn_id: str) -> tuple[Any, Mapping[str, Any]]:
    """Return a connection and its extra, without blocking the event loop.

    :param conn_id: id of the connection.
    """
    from asgiref.sync import sync_to_async

    def read() -> tuple[Any, Mapping[str, Any]]:
        from airflow.providers.common.compat.sdk import BaseHook

        connection = BaseHook.get_connection(conn_id)
        return connection, connection.extra_dejson

    return await sync_to_async(read)()


def read_owner(ti: Any, key: str) -> tuple[int, int] | None:
    """Return the marker in which the newest attempt says its number and its run's id.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    """
    value = read_own_xcom(ti, key)
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) and len(value) == 2 else None


def read_own_xcom(ti: Any, key: str) -> Any:
    """Return an XCom of a task instance; None when there is none.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    """
    from airflow.providers.common.compat.sdk import XCom

    return XCom.get_one(key=key, **_own(ti))


def write_own_xcom(ti: Any, key: str, value: Any) -> None:
    """Keep an XCom of a task instance, over an older one.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    :param value: JSON values.
    """
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(key=key, value=value, **_own(ti))


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
