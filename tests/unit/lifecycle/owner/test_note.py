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
"""The note beside a run leads from the workspace back to the task, where Airflow itself does not tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.lifecycle.attempts import is_former_attempt, is_gone
from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy
from airflow.providers.databricks_air.lifecycle.owner.note import owner_by_notes, owner_note
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

POLICY = RunPolicy("cancel", "rerun", durable=True)


def task(task_id: str = "train", try_number: int = 1) -> Any:
    """Return a task instance."""
    return SimpleNamespace(
        dag_id="dag", run_id="manual", task_id=task_id, map_index=-1, try_number=try_number, max_tries=2
    )


def test_the_newest_run_of_a_task_is_found_by_its_note(tmp_path: Path) -> None:
    """A later live run of the same task is found, one of another task or an earlier one is not."""
    with LocalAirRuntime(tmp_path, clock="virtual") as air:
        air.on("*").hangs()
        client = SyncClient(TokenCredentials(air.url, air.token))

        def start(ti: Any) -> int:
            config = load_run_config(
                "experiment_name: noted\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
                "max_retries: 0\ncommand: echo\n"
            )
            token = f"{ti.task_id}-{ti.try_number}"
            note = owner_note({"ti": ti}, POLICY, token=token, waits=True)
            air.advance(5)
            return launch(client, config, token=token, owner=note)

        first, other = start(task()), start(task("other"))
        assert owner_by_notes(client, task(), first) is None
        second = start(task(try_number=2))
        assert owner_by_notes(client, task(), first) == (2, second)
        assert owner_by_notes(client, task(), second) is None
        assert owner_by_notes(client, task("other"), other) is None
        client.close()


class RefusedError(Exception):
    """As Airflow's own channel raises it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.error = SimpleNamespace(detail={"status_code": status, "detail": message})

    def __str__(self) -> str:
        """Return what was said."""
        return str(self.error.detail)


@pytest.mark.parametrize(
    ("status", "message", "gone", "former"),
    [
        (404, "Task Instance not found", True, False),
        (410, "Task Instance is archived", True, False),
        (403, "Task instance is not a live attempt", True, True),
        (403, "Task instance is not deferred on a trigger assigned to this triggerer", False, False),
        (500, "Internal Server Error", False, False),
    ],
)
def test_what_airflow_refuses_a_former_attempt(status: int, message: str, gone: bool, former: bool) -> None:
    """A refusal says that the attempt is over; a failure, or one that is about writing alone, does not."""
    error = RefusedError(status, message)
    assert is_gone(error) is gone
    assert is_former_attempt(error) is former
