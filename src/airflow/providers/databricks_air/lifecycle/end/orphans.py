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
"""Finds the runs of this Airflow that nobody follows any more, and ends them on request.

That closes what no process can close by itself: retries that are used up, a task that a person ended while no code
of it ran anywhere, a process that was killed on its last try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

from airflow.providers.databricks_air.api.http.calls import cancel_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.launch.notes import LiveRun, live_runs, read_note
from airflow.providers.databricks_air.lifecycle.attempts import Seen, ask_database, ask_own_state
from airflow.providers.databricks_air.lifecycle.end.verdict import CLEARED_WHILE_RUNNING, USER_STATES
from airflow.providers.databricks_air.lifecycle.owner.record import RUN_ID_KEY
from airflow.providers.databricks_air.version_compat import airflow_instance, read_own_xcom, xcom_of_database

__all__ = [
    "NAMES",
    "YOUNG",
    "DatabaseView",
    "Orphan",
    "TaskView",
    "WorkerView",
    "end_orphans",
    "find_orphans",
    "why_unfollowed",
]

YOUNG = 120.0
"""Seconds: a task that has just submitted has not said so yet."""
NAMES = ("dag_id", "run_id", "task_id", "map_index")
"""What a note says of the task instance that asked for its run."""


class TaskView(Protocol):
    """Shows task instances of this Airflow."""

    def state(self, ti: Any) -> Seen | None:
        """Return the state of a task instance; None for no answer."""
        ...

    def xcom(self, ti: Any, key: str) -> Any:
        """Return an XCom of a task instance; None for none."""
        ...


class WorkerView:
    """Task instances as a running task may ask for them."""

    def state(self, ti: Any) -> Seen | None:
        """Return the state of a task instance; None for no answer."""
        return ask_own_state(ti)

    def xcom(self, ti: Any, key: str) -> Any:
        """Return an XCom of a task instance; None for none."""
        return read_own_xcom(ti, key)


class DatabaseView:
    """Task instances as Airflow's own commands see them."""

    def state(self, ti: Any) -> Seen | None:
        """Return the state of a task instance; None for no answer."""
        return ask_database(ti)

    def xcom(self, ti: Any, key: str) -> Any:
        """Return an XCom of a task instance; None for none."""
        return xcom_of_database(ti, key)


@dataclass(frozen=True)
class Orphan:
    """A run that is alive and that nobody follows.

    :param run: the run.
    :param note: who asked for it.
    :param why: what has become of who asked.
    """

    run: LiveRun
    note: Mapping[str, Any]
    why: str

    @property
    def task(self) -> str:
        """The task instance that asked for it, for people."""
        index = self.note.get("map_index", -1)
        mapped = f"[{index}]" if index is not None and index >= 0 else ""
        return f"{self.note.get('dag_id')}.{self.note.get('task_id')}{mapped} of {self.note.get('run_id')}"


def find_orphans(
    client: SyncClient, view: TaskView, *, older_than: float = YOUNG, now: Callable[[], float] = time.time
) -> Iterator[Orphan]:
    """Yield the runs of this Airflow that nobody follows.

    A run without a note of ours is somebody else's. One that was let go on purpose (``on_kill="detach"``,
    ``wait_for_termination=False``) is none, and neither is one of which Airflow does not tell.

    :param client: of the workspace.
    :param view: shows task instances.
    :param older_than: seconds that a run must have existed.
    :param now: returns epoch seconds.
    :raises ApiError: when the workspace does not tell.
    """
    for run in live_runs(client):
        if run.start_time and now() - run.start_time / 1000 < older_than:
            continue
        note = read_note(client, run)
        if note is not None and (why := why_unfollowed(run.run_id, note, view)):
            yield Orphan(run, note, why)


def end_orphans(client: SyncClient, orphans: list[Orphan]) -> None:
    """Ask for the end of runs.

    :param client: of the workspace.
    :param orphans: the runs.
    :raises ApiError: when the workspace does not take a request.
    """
    for orphan in orphans:
        client.perform(cancel_run(orphan.run.run_id))


def why_unfollowed(run_id: int, note: Mapping[str, Any], view: TaskView) -> str:
    """Return why nobody follows a live run; empty when somebody does, when nobody knows, or when it is not ours.

    :param run_id: id of the run.
    :param note: who asked for it.
    :param view: shows task instances.
    """
    if note.get("airflow") != airflow_instance() or any(name not in note for name in NAMES):
        return ""
    if note.get("on_kill") == "detach" or note.get("waits") is False:
        return ""
    ti = SimpleNamespace(**{name: note[name] for name in NAMES})
    seen = view.state(ti)
    if seen is None or seen.state == CLEARED_WHILE_RUNNING:
        return ""
    if seen.state in USER_STATES:
        return "the task is gone" if seen.state == "removed" else f"the task is over: {seen.state}"
    if seen.state is None:
        return "" if note.get("on_clear") == "adopt" else "the task was cleared"
    followed = view.xcom(ti, RUN_ID_KEY)
    if followed is not None and int(followed) != run_id:
        return f"the task follows run {followed}"
    return ""
