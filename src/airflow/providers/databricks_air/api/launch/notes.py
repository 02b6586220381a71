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
"""Which runs are alive, and the note that leads from each back to who asked for it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.calls import import_file
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.errors import AuthError, NotFoundError, ServiceError
from airflow.providers.databricks_air.api.launch import storage
from airflow.providers.databricks_air.run.launch.artifacts import CLEARED_FILE, OWNER_FILE

__all__ = ["LiveRun", "aread_note", "is_cleared", "live_runs", "note_clear", "read_note"]

# A process that a user has ended has a few seconds left.
NOTE_SECONDS = 5.0


@dataclass(frozen=True)
class LiveRun:
    """A run that has not ended, as the listing shows it.

    :param run_id: id of the run.
    :param name: the experiment's name.
    :param launch_dir: absolute Workspace path of the launch directory.
    :param start_time: epoch milliseconds of its creation; 0 when unknown.
    """

    run_id: int
    name: str
    launch_dir: str
    start_time: int


def live_runs(client: SyncClient) -> Iterator[LiveRun]:
    """Yield every AI Runtime run of the workspace that has not ended, as far as we may see it.

    :param client: of the workspace.
    :raises ApiError: when the workspace does not tell.
    """
    token = ""
    while True:
        rows, token = client.perform(_page(token))
        for row in rows:
            if (launch_dir := _launch_dir(row)) is not None:
                yield LiveRun(
                    int(row["run_id"]),
                    str(row.get("run_name") or ""),
                    launch_dir,
                    int(row.get("start_time") or 0),
                )
        if not token:
            return


def read_note(client: SyncClient, run: LiveRun) -> Mapping[str, Any] | None:
    """Return the note in the launch directory of a run; None where there is none that we may read.

    :param client: of the workspace.
    :param run: a run.
    :raises ApiError: when the workspace does not tell.
    """
    return client.run(aread_note(client.calls, run.launch_dir))


async def aread_note(client: AsyncClient, launch_dir: str) -> Mapping[str, Any] | None:
    """Return the note in a launch directory, from an event loop; None where there is none that we may read.

    :param client: of the workspace.
    :param launch_dir: absolute Workspace path.
    :raises ApiError: when the workspace does not tell.
    """
    try:
        return await client.perform(_export(f"{launch_dir}/{OWNER_FILE}"))
    except (AuthError, NotFoundError):
        return None
    except ServiceError as error:
        # A file of that name that is no JSON is somebody else's.
        if error.status is not None and error.status < 300:
            return None
        raise


def note_clear(client: SyncClient, launch_dir: str) -> None:
    """Write beside a run that a user has cleared its task.

    :param client: of the workspace.
    :param launch_dir: absolute Workspace path of the launch directory; nothing is done where it is unknown.
    :raises ApiError: when the workspace does not take it.
    """
    if not launch_dir:
        return
    call = import_file(f"{launch_dir}/{CLEARED_FILE}", lambda: io.BytesIO(b"{}\n"), timeout=NOTE_SECONDS)
    client.perform(call.within(NOTE_SECONDS))


def is_cleared(client: SyncClient, launch_dir: str) -> bool:
    """Say whether ``note_clear`` was called for a run.

    :param client: of the workspace.
    :param launch_dir: absolute Workspace path of the launch directory.
    :raises ApiError: when the workspace does not tell.
    """
    return bool(launch_dir) and bool(
        client.run(storage.present_file(client.calls, f"{launch_dir}/{CLEARED_FILE}"))
    )


def _page(token: str) -> Call[tuple[list[Mapping[str, Any]], str]]:
    """``GET /api/2.2/jobs/runs/list``: everybody's submitted runs that are alive (air-contract 8.2)."""

    def read(answer: Answer) -> tuple[list[Mapping[str, Any]], str]:
        body = answer.json()
        return list(body.get("runs") or ()), str(body.get("next_page_token") or "")

    query = {"run_type": "SUBMIT_RUN", "expand_tasks": "true", "limit": "25", "active_only": "true"}
    page = {"page_token": token} if token else {}
    return Call("GET", "/api/2.2/jobs/runs/list", read, query={**query, **page})


def _export(path: str) -> Call[Mapping[str, Any]]:
    """``GET /api/2.0/workspace/export``: the content of a small Workspace file (air-contract 5.6)."""

    def read(answer: Answer) -> Mapping[str, Any]:
        note = json.loads(answer.body)
        if not isinstance(note, dict):
            raise ValueError("the note is not a JSON object")
        return note

    return Call("GET", "/api/2.0/workspace/export", read, query={"path": path, "direct_download": "true"})


def _launch_dir(row: Mapping[str, Any]) -> str | None:
    """Return the directory of ``command.sh``, or of the first container's above ``containers/NAME``."""
    for task in row.get("tasks") or ():
        for deployment in (task.get("ai_runtime_task") or {}).get("deployments") or ():
            containers: Any = deployment.get("containers") or ({},)
            path = str(deployment.get("command_path") or containers[0].get("command_path") or "")
            if path:
                return path.rpartition("/")[0].partition("/containers/")[0]
    return None
