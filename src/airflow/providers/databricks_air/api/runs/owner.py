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
"""Who asked for a run: the note of the Airflow task in the launch directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.launch.notes import aread_note

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["read_owner", "task_of"]


async def read_owner(client: AsyncClient, launch_directory: str) -> dict[str, Any] | None:
    """Return the note that an Airflow task left with its run; None where there is none.

    :param client: the workspace.
    :param launch_directory: absolute workspace path; empty when unknown.
    """
    if not launch_directory:
        return None
    try:
        note = await aread_note(client, launch_directory)
    except ApiError:
        return None
    return None if note is None else dict(note)


def task_of(note: Mapping[str, Any] | None) -> str:
    """Return Dag, task and map index for people, such as ``nightly.train[3]``; empty without a note."""
    if not note:
        return ""
    index = note.get("map_index", -1)
    return f"{note.get('dag_id')}.{note.get('task_id')}" + (f"[{index}]" if index not in (None, -1) else "")
