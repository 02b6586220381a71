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
from typing import TYPE_CHECKING, Any, Protocol

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "AIRFLOW_VERSION",
    "AIRFLOW_V_3_0_PLUS",
    "AIRFLOW_V_3_1_PLUS",
    "COUNTS_EVERY_CLEAR",
    "KILL_HANDLER_MUST_RAISE",
    "KILL_SECONDS",
    "LOG_OF_SECOND_TRIGGER_IS_NEW",
    "TRIGGER_HAS_ON_KILL",
    "StateStore",
    "airflow_instance",
    "async_connection",
    "bundle_version",
    "call_after_report",
    "delete_own_xcoms",
    "is_in_process",
    "is_trial",
    "metrics_sink",
    "names_of",
    "read_own_xcom",
    "state_store",
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
COUNTS_EVERY_CLEAR = Version("3.3.0") <= _VERSION


class StateStore(Protocol):
    """Values of one task instance that outlive its attempts (Airflow 3.3 and later)."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or the default."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        ...


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

    return XCom.get_one(key=key, **names_of(ti))


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
        row = session.query(XComModel).filter_by(key=key, **names_of(ti)).one_or_none()
        return None if row is None else XComModel.deserialize_value(row)


def write_own_xcom(ti: Any, key: str, value: Any) -> None:
    """Keep an XCom of a task instance, over an older one.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    :param value: JSON values.
    """
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(key=key, value=value, **names_of(ti))


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
                XCom.delete(key=key, **names_of(ti))
        return
    from airflow.utils.session import create_session

    with contextlib.suppress(Exception), create_session() as session:
        rows = session.query(XCom).filter_by(**names_of(ti))
        rows.filter(XCom.key.in_(keys)).delete(synchronize_session=False)


def names_of(ti: Any) -> dict[str, Any]:
    """Return what names a task instance, over all of its attempts.

    :param ti: anything with these attributes.
    """
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
