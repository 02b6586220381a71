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
"""The note that leads from a run back to its task: a small readable file in the launch directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.launch.notes import live_runs, read_note
from airflow.providers.databricks_air.version_compat import airflow_instance, bundle_version, names_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy

__all__ = ["owner_by_notes", "owner_note"]


def owner_note(context: Context, policy: RunPolicy, *, token: str, waits: bool) -> dict[str, Any]:
    """Return who asks for a run, for people and for who looks for runs that nobody follows.

    :param context: of the running task.
    :param policy: what the author wants to become of the run.
    :param token: the idempotency token of the submission; it is no secret.
    :param waits: whether the task waits for the end of its run.
    """
    ti: Any = context["ti"]
    return {
        **_names(ti),
        "try_number": ti.try_number,
        "max_tries": ti.max_tries,
        "on_kill": policy.on_kill,
        "on_clear": policy.on_clear,
        "waits": waits,
        "idempotency_token": token,
        "bundle_version": bundle_version(ti),
    }


def owner_by_notes(client: SyncClient, ti: Any, run_id: int) -> tuple[int, int] | None:
    """Return the try and the id of a live run that the same task has asked for after another one; None for none.

    :param client: of the workspace.
    :param ti: the task instance.
    :param run_id: the other one.
    :raises ApiError: when the workspace does not tell.
    """
    runs = list(live_runs(client))
    since = next((run.start_time for run in runs if run.run_id == run_id), None)
    for run in runs:
        if since is None or run.run_id == run_id or run.start_time < since:
            continue
        note = read_note(client, run) or {}
        if all(note.get(name) == value for name, value in _names(ti).items()):
            return int(note["try_number"]), run.run_id
    return None


def _names(ti: Any) -> dict[str, Any]:
    return {"airflow": airflow_instance(), **names_of(ti)}
