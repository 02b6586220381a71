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
"""What a run has come to, read from all places that know a part of it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import mlflow_run
from airflow.providers.databricks_air.api.runs.owner import read_owner
from airflow.providers.databricks_air.run.outcome.metrics import final_values
from airflow.providers.databricks_air.run.outcome.result import run_result
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["EXTRA_SECONDS", "follow_steps", "output_of", "result_of"]

log = logging.getLogger(__name__)

EXTRA_SECONDS = 10.0
"""Metrics and log lines of a run that has ended are an extra, and nobody should wait for one."""


async def output_of(client: AsyncClient, run: Run, known: TaskOutput | None = None) -> TaskOutput:
    """Return what the latest attempt of a run says beside its state, as far as it can be read.

    :param client: the workspace.
    :param run: the run.
    :param known: what is known of it; asked for again where it has no MLflow run.
    """
    known = known or TaskOutput()
    if known.mlflow_run_id or not run.latest:
        return known
    try:
        return await client.perform(get_output(run.latest.run_id).once())
    except ApiError:
        # The ids are an addition to a run.
        return known


async def result_of(
    client: AsyncClient, run: Run, known: TaskOutput | None = None, *, with_metrics: bool = True
) -> dict[str, Any]:
    """Return the result of a run as plain JSON values, the same whoever asks for it.

    :param client: the workspace.
    :param run: as it was seen last.
    :param known: what is known of its latest attempt.
    :param with_metrics: whether the result has the final metrics and parameters of the MLflow run.
    """
    output = await output_of(client, run, known)
    note = await read_owner(client, run.launch_directory)
    result = run_result(client.credentials.host, run, output.mlflow_experiment_id, output.mlflow_run_id, note)
    return {**result, **await _final_values(client, output.mlflow_run_id)} if with_metrics else result


async def follow_steps(client: AsyncClient, steps: Generator[Call[Any], Any, Any]) -> Any:
    """Perform the calls that *steps* yields, each within :data:`EXTRA_SECONDS`, and return what it returns.

    :param client: the workspace.
    :param steps: is sent the answers, and thrown the errors.
    :raises ApiError: when *steps* does.
    """
    try:
        call = next(steps)
        while True:
            try:
                answer = await client.perform(replace(call, budget=min(call.budget, EXTRA_SECONDS)))
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        return end.value


async def _final_values(client: AsyncClient, mlflow_run_id: str) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    if mlflow_run_id:
        try:
            mlflow = await client.perform(mlflow_run(mlflow_run_id).within(EXTRA_SECONDS))
            metrics, params = final_values(mlflow.metrics, mlflow.params)
        except ApiError as error:
            log.warning("The result is without metrics: %s", error)
    return {"metrics": metrics, "params": params}
