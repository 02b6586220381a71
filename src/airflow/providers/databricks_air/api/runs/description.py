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
"""One run in full, as a value: what ``get`` prints and ``AirRuntimeHook.describe`` returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.http.together import together
from airflow.providers.databricks_air.api.runs.calls import export_file, get_document, mlflow_run_name
from airflow.providers.databricks_air.api.runs.fields import RunFields, iso_time, whole_seconds
from airflow.providers.databricks_air.api.runs.owner import read_owner
from airflow.providers.databricks_air.run.outcome.narration import waiting_message
from airflow.providers.databricks_air.run.outcome.result import mlflow_url

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.run.outcome.states import Attempt

__all__ = ["RunDescription", "dashboard_url", "describe"]

T = TypeVar("T")

_CONFIG_FILE = "training_config.yaml"
# Enough for the retries that people allow; the links of older attempts are left out.
_MOST_OUTPUTS = 12


@dataclass(frozen=True)
class RunDescription:
    """A run in full.

    :param fields: what the run's document says.
    :param host: the workspace URL.
    :param workspace_id: empty when the workspace does not say.
    :param outputs: what the attempts say beside their state, by the id of their task run.
    :param training_config: the text of the run configuration in the launch directory; None when it is gone.
    :param now: epoch milliseconds of the look.
    :param mlflow_run_name: of the latest attempt; None when it has none.
    :param owner: the note of the Airflow task that asked for the run; None for a run of nobody's task.
    """

    fields: RunFields
    host: str
    workspace_id: str
    outputs: dict[int, TaskOutput]
    training_config: str | None
    now: int
    mlflow_run_name: str | None = None
    owner: Mapping[str, Any] | None = None

    @property
    def status_message(self) -> str:
        """What the service says while the latest attempt waits; empty otherwise."""
        run = self.fields.run
        return waiting_message(self._output(run.latest).status_message) if run.is_waiting else ""

    def mlflow_url(self, attempt: Attempt | None) -> str | None:
        """Return the page of an attempt's MLflow run, at its logs; None when it has none."""
        output = self._output(attempt)
        page = mlflow_url(self.host, output.mlflow_experiment_id, output.mlflow_run_id)
        return f"{page}/artifacts/logs/node_0{_workspace(self.workspace_id)}" if page else None

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain JSON values; the first nine are those of ``databricks air get``."""
        fields, run = self.fields, self.fields.run
        start, end = fields.times
        return {
            "run_id": str(run.run_id),
            "status": run.state.word,
            "started_at": iso_time(start),
            "duration_seconds": whole_seconds(start, end, self.now),
            "attempt_number": run.latest.number if run.latest else 0,
            "experiment_name": fields.experiment or run.name,
            "dashboard_url": dashboard_url(self.host, run.run_id, self.workspace_id),
            "mlflow_url": self.mlflow_url(run.latest),
            "termination_reason": fields.termination_reason,
            "status_message": self.status_message or None,
            "run_name": run.name,
            "mlflow_run_name": self.mlflow_run_name,
            "user": fields.user or None,
            "accelerator_type": fields.accelerator_type or None,
            "num_accelerators": fields.num_accelerators or None,
            "pool_id": fields.pool_id or None,
            "usage_policy_id": fields.usage_policy_id or None,
            "max_retries": run.max_retries,
            "attempts": [self._attempt(attempt) for attempt in run.attempts],
            "sweep": fields.sweep.to_json() if fields.sweep else None,
            "launch_directory": fields.launch_directory or None,
            "code_source_path": fields.code_path or None,
            "owner": dict(self.owner) if self.owner else None,
            "training_config": self.training_config,
        }

    def _attempt(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "attempt_number": attempt.number,
            "task_run_id": str(attempt.run_id),
            "status": attempt.state.word,
            "started_at": iso_time(attempt.start_time),
            "ended_at": iso_time(attempt.end_time),
            "duration_seconds": whole_seconds(attempt.start_time, attempt.end_time, self.now),
            "message": attempt.state.message or None,
            "mlflow_url": self.mlflow_url(attempt),
        }

    def _output(self, attempt: Attempt | None) -> TaskOutput:
        return self.outputs.get(attempt.run_id, TaskOutput()) if attempt else TaskOutput()


def dashboard_url(host: str, run_id: int, workspace_id: str = "") -> str:
    """Return the page of a run for people.

    :param host: the workspace URL.
    :param run_id: id of the run.
    :param workspace_id: empty when unknown.
    """
    return f"{host}/jobs/runs/{run_id}{_workspace(workspace_id)}"


async def describe(client: AsyncClient, run_id: int, now: Callable[[], float] = time.time) -> RunDescription:
    """Look at a run from all sides: three rounds of requests, each side by side.

    What only adds to the picture (MLflow links, the configuration in the launch directory) is left out where it
    cannot be read.

    :param client: the workspace.
    :param run_id: id of the run.
    :param now: returns epoch seconds.
    :raises RunNotFoundError: when there is no such run.
    :raises ApiError: when the workspace does not tell.
    """
    document, me = await together(
        [partial(client.perform, get_document(run_id)), partial(client.perform, calls.me())]
    )
    fields = RunFields.read(document)
    seen = [attempt.run_id for attempt in fields.run.attempts if attempt.run_id][-_MOST_OUTPUTS:]
    config, owner, *outputs = await together(
        [
            partial(_config, client, fields.launch_directory),
            partial(read_owner, client, fields.launch_directory),
            *(partial(_if_there, client, calls.get_output(number).once(30.0)) for number in seen),
        ]
    )
    found = {number: output for number, output in zip(seen, outputs, strict=True) if output}
    latest = found.get(fields.run.latest.run_id) if fields.run.latest else None
    return RunDescription(
        fields,
        client.credentials.host,
        me.workspace_id,
        found,
        config,
        round(now() * 1000),
        await _mlflow_name(client, latest.mlflow_run_id if latest else ""),
        owner,
    )


async def _config(client: AsyncClient, directory: str) -> str | None:
    if not directory:
        return None
    return await _if_there(client, export_file(f"{directory}/{_CONFIG_FILE}"))


async def _mlflow_name(client: AsyncClient, mlflow_run_id: str) -> str | None:
    if not mlflow_run_id:
        return None
    return await _if_there(client, mlflow_run_name(mlflow_run_id))


async def _if_there(client: AsyncClient, call: Call[T]) -> T | None:
    try:
        return await client.perform(call)
    except ApiError:
        return None


def _workspace(workspace_id: str) -> str:
    return f"?o={workspace_id}" if workspace_id else ""
