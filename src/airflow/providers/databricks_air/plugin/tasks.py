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
"""What Airflow's database says of a task and of its run; for threads, because the database makes them wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID
from airflow.providers.databricks_air.lifecycle.owner.record import RUN_ID_KEY, WATCH_KEY
from airflow.providers.databricks_air.links.air import RUN_PAGE_URL_KEY
from airflow.providers.databricks_air.version_compat import xcom_of_database

__all__ = ["TaskOfRun", "find_task", "known_connections"]


@dataclass(frozen=True)
class TaskOfRun:
    """A task instance and the run that it follows.

    :param state: Airflow's state of the task instance; None before it is scheduled.
    :param try_number: its attempt.
    :param conn_id: id of the connection; empty for a task of another kind.
    :param air_run_id: id of the run; None while there is none.
    :param url: page of the run; empty when unknown.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    conn_id: str = ""
    air_run_id: int | None = None
    url: str = ""

    @property
    def label(self) -> str:
        """Dag, task and map index for people."""
        return f"{self.dag_id}.{self.task_id}" + (f"[{self.map_index}]" if self.map_index >= 0 else "")


def find_task(dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskOfRun | None:
    """Return a task instance as Airflow's database has it; None when there is none.

    The connection, and the run that a sensor waits for, are taken from the rendered fields of the task; Airflow keeps
    those of the newest Dag runs, and the watch that was announced says the connection of an older one.
    """
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    key: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        ti = session.scalar(select(TaskInstance).filter_by(**key))
        if ti is None:
            return None
        query = select(RenderedTaskInstanceFields.rendered_fields).filter_by(**key)
        rendered: Mapping[str, Any] = session.scalar(query) or {}
        state = None if ti.state is None else str(ti.state)
        found = TaskOfRun(**key, state=state, try_number=ti.try_number)
    return replace(found, **_run_of(found, rendered))


def _run_of(task: TaskOfRun, rendered: Mapping[str, Any]) -> dict[str, Any]:
    conn_id = rendered.get("databricks_air_conn_id") or _announced(task).get("databricks_air_conn_id")
    if not conn_id:
        return {}
    number = str(xcom_of_database(task, RUN_ID_KEY) or rendered.get("run_id") or "")
    return {
        "conn_id": str(conn_id),
        "air_run_id": int(number) if number.isdigit() else None,
        "url": str(xcom_of_database(task, RUN_PAGE_URL_KEY) or ""),
    }


def _announced(task: TaskOfRun) -> Mapping[str, Any]:
    told = xcom_of_database(task, WATCH_KEY)
    watch = told.get("watch") if isinstance(told, Mapping) else None
    return watch if isinstance(watch, Mapping) else {}


def known_connections(names: Iterable[str]) -> list[str]:
    """Return the ids of the connections whose runs are shown.

    :param names: those that were chosen; without any, those of this type in Airflow's database, and the default one.
    """
    chosen = [name.strip() for name in names if name.strip()]
    if chosen:
        return chosen
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        stored = session.scalars(select(Connection.conn_id).where(Connection.conn_type == "databricks_air"))
        return sorted({DEFAULT_CONN_ID, *stored})
