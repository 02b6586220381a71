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
"""The runs of this Airflow that are alive: what works, what waits, what nobody follows."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.databricks_air.api.http.together import together
from airflow.providers.databricks_air.api.launch.notes import aread_note
from airflow.providers.databricks_air.api.runs.fields import RunFields
from airflow.providers.databricks_air.api.runs.listing import live_runs
from airflow.providers.databricks_air.api.runs.owner import task_of
from airflow.providers.databricks_air.lifecycle.end.orphans import NAMES, YOUNG, DatabaseView, why_unfollowed
from airflow.providers.databricks_air.run.outcome.result import page_url
from airflow.providers.databricks_air.version_compat import airflow_instance

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["Fleet", "FleetRun"]

MOST = 500
"""Runs of a workspace that are shown at most."""
NOTES = 5000
AT_ONCE = 8


@dataclass(frozen=True)
class FleetRun:
    """A live run that a task of this Airflow has asked for.

    :param fields: what the run's document says.
    :param note: who asked for it.
    :param conn_id: the connection that it was seen through.
    :param host: the workspace URL.
    :param now: epoch milliseconds of the look.
    :param why_unfollowed: what has become of who asked for it; empty while somebody follows it.
    """

    fields: RunFields
    note: Mapping[str, Any]
    conn_id: str
    host: str
    now: int
    why_unfollowed: str = ""

    @property
    def dag_id(self) -> str:
        """The Dag whose task asked for it."""
        return str(self.note["dag_id"])

    @property
    def task(self) -> str:
        """Dag, task and map index for people."""
        return task_of(self.note)

    @property
    def path(self) -> str:
        """The page of the task instance, below the address of this Airflow."""
        dag, run, task = (quote(str(self.note[name]), safe="") for name in ("dag_id", "run_id", "task_id"))
        index = self.note.get("map_index", -1)
        mapped = f"/mapped/{index}" if index is not None and index >= 0 else ""
        return f"/dags/{dag}/runs/{run}/tasks/{task}{mapped}"

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for accelerators."""
        return self.fields.run.is_waiting

    @property
    def seconds(self) -> float:
        """How long it has worked, or has waited."""
        run = self.fields.run
        since = run.waiting_since if run.is_waiting else self.fields.times[0]
        return max(0, self.now - since) / 1000 if since else 0.0

    @property
    def accelerator_hours(self) -> float:
        """The time of all its accelerators until now."""
        return self.fields.accelerator_hours(self.now)

    @property
    def page_url(self) -> str:
        """The page of the run in the workspace."""
        return page_url(self.host, self.fields.run)


class Fleet:
    """Looks at the live runs of workspaces; the note of a run, which never changes, is read once."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._notes: OrderedDict[tuple[str, int], Mapping[str, Any] | None] = OrderedDict()

    async def look(self, client: AsyncClient, conn_id: str) -> tuple[FleetRun, ...]:
        """Return the live runs of this Airflow that a connection shows, newest first.

        :param client: the workspace.
        :param conn_id: id of the connection.
        :raises ApiError: when the workspace does not tell.
        """
        runs = [fields async for fields in live_runs(client, MOST)]
        await together([partial(self._read, client, fields) for fields in runs], limit=AT_ONCE)
        now = round(self._now() * 1000)
        ours = [
            FleetRun(fields, note, conn_id, client.credentials.host, now)
            for fields in runs
            if (note := self._notes.get((client.credentials.host, fields.run.run_id)))
        ]
        return await asyncio.to_thread(_marked, ours)

    async def _read(self, client: AsyncClient, fields: RunFields) -> None:
        key = (client.credentials.host, fields.run.run_id)
        if key in self._notes:
            return
        folder = fields.launch_directory
        note = await aread_note(client, folder) if folder else None
        known = (
            note is not None
            and note.get("airflow") == airflow_instance()
            and all(map(note.__contains__, NAMES))
        )
        self._notes[key] = note if known else None
        if len(self._notes) > NOTES:
            self._notes.popitem(last=False)


def _marked(runs: list[FleetRun]) -> tuple[FleetRun, ...]:
    """Return the runs with what has become of who asked for them; for a thread, because the database makes it wait."""
    view = DatabaseView()
    return tuple(replace(run, why_unfollowed=_why(run, view)) for run in runs)


def _why(run: FleetRun, view: DatabaseView) -> str:
    is_young = run.now - run.fields.run.start_time < YOUNG * 1000
    return "" if is_young else why_unfollowed(run.fields.run.run_id, run.note, view)
