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
"""How a finished run becomes the result of a task, or its error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import mlflow_run
from airflow.providers.databricks_air.api.logs.failure import investigate
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.lifecycle.endings import ending_error
from airflow.providers.databricks_air.run.outcome.cause import parse_retry_on
from airflow.providers.databricks_air.run.outcome.failure import NOTHING_FOUND, Findings
from airflow.providers.databricks_air.run.outcome.metrics import final_values
from airflow.providers.databricks_air.run.outcome.result import mlflow_url, run_result

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.watch.watch import Ended
    from airflow.providers.databricks_air.operators.air import AirRunOperator
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["check_retry_on", "failure_of", "result_of"]


def check_retry_on(operator: AirRunOperator) -> None:
    """Check what the author wrote, before anything is paid for.

    :raises AirConfigError: naming the value and the choices.
    """
    try:
        parse_retry_on(operator.retry_on)
    except ValueError as error:
        raise AirConfigError(str(error)) from None


def failure_of(operator: AirRunOperator, ended: Ended, *, printed: Any) -> Exception:
    """Return the error that ends the task.

    :param operator: ``hook`` and ``retry_on`` are read.
    :param ended: how the watch ended.
    :param printed: ranks of the nodes whose log the task has printed, ``"all"``, or None.
    """
    findings = NOTHING_FOUND
    if ended.run is not None and ended.why == "terminal":
        findings = _findings(operator.hook.client, ended.run, ended.output)
        if printed is not None:
            findings = findings.without(printed)
    return ending_error(ended, operator.hook.host, findings, parse_retry_on(operator.retry_on))


def result_of(operator: AirRunOperator, run: Run, output: TaskOutput) -> dict[str, Any]:
    """Return what downstream tasks get.

    :param operator: ``hook`` and ``push_metrics`` are read.
    :param run: the run that succeeded.
    :param output: what its latest attempt says, as far as it is known.
    """
    client = operator.hook.client
    output = _output(client, run, output)
    result = run_result(operator.hook.host, run, output.mlflow_experiment_id, output.mlflow_run_id)
    if not operator.push_metrics:
        return result
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    if output.mlflow_run_id:
        try:
            mlflow = client.perform(mlflow_run(output.mlflow_run_id))
            metrics, params = final_values(mlflow.metrics, mlflow.params)
        except ApiError as error:
            operator.log.warning("The result is without metrics: %s", error)
    return {**result, "metrics": metrics, "params": params}


def _findings(client: SyncClient, run: Run, output: TaskOutput) -> Findings:
    steps = investigate(run)
    try:
        call = next(steps)
        while True:
            try:
                answer = client.perform(call)
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        findings: Findings = end.value
    output = _output(client, run, output)
    url = mlflow_url(client.credentials.host, output.mlflow_experiment_id, output.mlflow_run_id)
    return replace(findings, mlflow_url=url or "")


def _output(client: SyncClient, run: Run, output: TaskOutput) -> TaskOutput:
    """Ask for the MLflow ids of the latest attempt where they are not known yet."""
    if output.mlflow_run_id or not run.latest:
        return output
    try:
        return client.perform(get_output(run.latest.run_id).once())
    except ApiError:
        # The ids are an addition to a run that has ended.
        return TaskOutput()
