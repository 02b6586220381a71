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
"""From what was asked for to a page, by way of Airflow's database and the workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import conf
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.api.runs.picture import RunPicture, picture
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.plugin.fleet import Fleet, FleetRun
from airflow.providers.databricks_air.plugin.looks import Looks
from airflow.providers.databricks_air.plugin.page import page
from airflow.providers.databricks_air.plugin.tasks import TaskOfRun, find_task, known_connections
from airflow.providers.databricks_air.plugin.workspaces import Workspaces
from airflow.providers.databricks_air.version_compat import airflow_instance

if TYPE_CHECKING:
    from fastapi.responses import HTMLResponse

__all__ = ["FRESH", "Views"]

T = TypeVar("T")

FRESH = 15.0
"""Seconds for which a look at the workspace serves everybody who asks."""
LONGEST = 25.0
"""Seconds that a page waits for the workspace."""
_TROUBLE = (ApiError, AirConfigError, asyncio.TimeoutError)
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class Views:
    """Makes the pages, with one look at the workspace for all who ask at about the same time."""

    def __init__(self) -> None:
        self._workspaces = Workspaces()
        self._fleet = Fleet()
        self._pictures: Looks[RunPicture] = Looks(FRESH)
        self._fleets: Looks[tuple[FleetRun, ...]] = Looks(FRESH)

    async def task(
        self, dag_id: str, run_id: str, task_id: str, map_index: int, with_lines: bool
    ) -> HTMLResponse:
        """Return the page of a task instance.

        :param with_lines: whether the user may read logs.
        :raises HTTPException: when there is no such task instance.
        """
        task = await run_in_threadpool(find_task, dag_id, run_id, task_id, map_index)
        if task is None:
            raise HTTPException(404)
        seen, trouble = None, ""
        if task.air_run_id is not None:
            try:
                seen = await self._pictures.get((task.conn_id, task.air_run_id), partial(self._picture, task))
            except _TROUBLE as error:
                trouble = _words(error)
        alive = task.state not in _ENDED if seen is None else not seen.fields.run.is_terminal
        return page("task.html", task=task, seen=seen, trouble=trouble, alive=alive, with_lines=with_lines)

    async def fleet(self, readable: Callable[[set[str]], set[str]]) -> HTMLResponse:
        """Return the page of the live runs.

        :param readable: returns those of some Dags that the user may read; it may block.
        """
        chosen = conf.get("databricks_air", "page_connections", fallback="").split(",")
        connections = await run_in_threadpool(known_connections, chosen)
        found = await asyncio.gather(*(self._runs(conn_id) for conn_id in connections))
        # Two connections may show the same workspace.
        runs = {(run.host, run.fields.run.run_id): run for runs, _ in found for run in runs}
        allowed = await run_in_threadpool(readable, {run.dag_id for run in runs.values()})
        shown = [run for run in runs.values() if run.dag_id in allowed]
        troubles = [
            (conn_id, trouble) for conn_id, (_, trouble) in zip(connections, found, strict=True) if trouble
        ]
        root = urlsplit(airflow_instance()).path
        return page(
            "fleet.html", alive=True, root=root, groups=_groups(shown), troubles=troubles, costs=_costs(shown)
        )

    async def close(self) -> None:
        """Close the connections to the workspaces."""
        await self._workspaces.close()

    async def _picture(self, task: TaskOfRun) -> RunPicture:
        assert task.air_run_id is not None
        client = await self._workspaces.client(task.conn_id)
        return await self._asked(task.conn_id, picture(client, task.air_run_id))

    async def _runs(self, conn_id: str) -> tuple[tuple[FleetRun, ...], str]:
        async def look() -> tuple[FleetRun, ...]:
            client = await self._workspaces.client(conn_id)
            return await self._asked(conn_id, self._fleet.look(client, conn_id))

        try:
            return await self._fleets.get(conn_id, look), ""
        except _TROUBLE as error:
            return (), _words(error)

    async def _asked(self, conn_id: str, answer: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(answer, LONGEST)
        except AuthError:
            self._workspaces.refused(conn_id)
            raise


def _words(error: Exception) -> str:
    return f"no answer within {LONGEST:.0f} s" if isinstance(error, asyncio.TimeoutError) else str(error)


def _groups(runs: list[FleetRun]) -> list[tuple[str, str, list[FleetRun]]]:
    """Return the tables of the page: title, what stands there when it is empty, and runs."""
    lost = [run for run in runs if run.why_unfollowed]
    followed = [run for run in runs if not run.why_unfollowed]
    return [
        ("Nobody follows", "", lost),
        ("Running", "Nothing runs.", [run for run in followed if not run.is_waiting]),
        ("Waiting for capacity", "Nothing waits.", [run for run in followed if run.is_waiting]),
    ]


def _costs(runs: list[FleetRun]) -> list[Cost]:
    """Return what the runs of each Dag cost, the most expensive first."""
    by_dag: dict[str, list[FleetRun]] = {}
    for run in runs:
        by_dag.setdefault(run.dag_id, []).append(run)
    costs = [Cost.of(dag_id, its) for dag_id, its in by_dag.items()]
    return sorted(costs, key=lambda cost: (-cost.hours, cost.dag_id))


@dataclass(frozen=True)
class Cost:
    """What the live runs of a Dag hold.

    :param dag_id: the Dag.
    :param working: accelerators that work.
    :param waiting: accelerators that are waited for.
    :param hours: accelerator-hours of these runs until now.
    """

    dag_id: str
    working: int
    waiting: int
    hours: float

    @classmethod
    def of(cls, dag_id: str, runs: list[FleetRun]) -> Cost:
        """Add up the runs of a Dag."""
        working, waiting = (
            sum(run.fields.num_accelerators for run in runs if run.is_waiting is waits)
            for waits in (False, True)
        )
        return cls(dag_id, working, waiting, sum(run.accelerator_hours for run in runs))
