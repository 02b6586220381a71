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
"""How a finished run becomes the result of a task, or its error: one clear message and no traceback above it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.exceptions import (
    AirConfigError,
    AirRunCancelledError,
    AirRunFailedError,
    AirRunFailedForGoodError,
    AirRunTimeoutError,
    AirServiceError,
)
from airflow.providers.databricks_air.run.errors import AirError, ConfigError, SnapshotError
from airflow.providers.databricks_air.run.outcome.causes.cause import (
    CauseKind,
    deserves_retry,
    parse_retry_on,
)
from airflow.providers.databricks_air.run.outcome.causes.diagnosis import kind_of_failure
from airflow.providers.databricks_air.run.outcome.failure import NOTHING_FOUND, Findings, failure_message
from airflow.providers.databricks_air.run.outcome.result import mlflow_url, page_url, run_result

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.watch.watch import Ended
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = [
    "ENDS_TASK",
    "GAVE_UP",
    "TIMED_OUT",
    "Results",
    "check_retry_on",
    "ending_error",
    "parse_run_id",
    "task_error",
]

log = logging.getLogger(__name__)

TIMED_OUT = frozenset({"expired", "queue_expired"})
ENDS_TASK = (AirError, AirflowException)
GAVE_UP = TIMED_OUT | {"missing", "denied"}
# Metrics and log lines of a run that has ended are an extra, and nobody should wait for one.
EXTRA_SECONDS = 10.0


def task_error(error: Exception) -> Exception:
    """Return the error that ends a task, without the traceback that led to it.

    :param error: what this package raised on purpose.
    """
    if isinstance(error, ConfigError | SnapshotError):
        return AirConfigError(str(error))
    if isinstance(error, AuthError):
        return AirServiceError(
            f"The workspace refuses the connection's credentials: {error}. "
            "Check the token of the connection and what its owner may do"
        )
    if isinstance(error, AirError):
        return AirServiceError(str(error))
    return error.with_traceback(None)


def ending_error(
    ended: Ended,
    host: str,
    findings: Findings = NOTHING_FOUND,
    retry_on: Collection[CauseKind] | None = None,
) -> AirRunFailedError | AirServiceError:
    """Return the error that a watch without success ends the task with.

    :param ended: how the watch ended.
    :param host: the workspace URL.
    :param findings: what the run's log says about its end.
    :param retry_on: the kinds of causes after which Airflow may try again; None for all.
    """
    run = ended.run
    if ended.why in ("missing", "denied") or run is None:
        return AirServiceError(ended.message or "the run was never seen")
    url = page_url(host, run)
    error: type[AirRunFailedError]
    if ended.why in TIMED_OUT:
        cause = CauseKind.TIMEOUT if ended.why == "expired" else CauseKind.CAPACITY
        message = f"{ended.message}\nAI Runtime run {run.run_id} was {run.phase}\nRun page: {url}"
        error = AirRunTimeoutError
    else:
        cause = kind_of_failure(run, findings.diagnosis)
        message = failure_message(run, url, findings)
        error = AirRunCancelledError if run.state.result == "CANCELED" else AirRunFailedError
    if deserves_retry(cause, retry_on):
        return error(message)
    return AirRunFailedForGoodError(f"{message}\nNo retry: the cause is {cause.value}, not one of retry_on")


def parse_run_id(value: Any) -> int:
    """Return a run id that came through a template or an XCom.

    :param value: a number, or text that is one.
    :raises AirConfigError: when it is none.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdigit() or int(text) == 0:
        raise AirConfigError(f"run_id: {value!r} is not the id of a run, which is a positive whole number")
    return int(text)


def check_retry_on(retry_on: Collection[str] | None) -> None:
    """Check what the author wrote, before anything is paid for.

    :raises AirConfigError: naming the value and the choices.
    """
    try:
        parse_retry_on(retry_on)
    except ValueError as error:
        raise AirConfigError(str(error)) from None


@dataclass(frozen=True)
class Results:
    """Reads what a run that has ended leaves behind.

    :param client: of the workspace.
    :param push_metrics: whether the result has the final metrics and parameters.
    :param retry_on: the causes after which Airflow may try again, as the author wrote them; None for all.
    """

    client: SyncClient
    push_metrics: bool = True
    retry_on: Collection[str] | None = None

    def result(self, run: Run, output: TaskOutput) -> dict[str, Any]:
        """Return what downstream tasks get.

        :param run: the run that succeeded.
        :param output: what its latest attempt says, as far as it is known.
        """
        output = self._output(run, output)
        host = self.client.credentials.host
        result = run_result(host, run, output.mlflow_experiment_id, output.mlflow_run_id)
        return {**result, **self._final_values(output.mlflow_run_id)} if self.push_metrics else result

    def error(self, ended: Ended, *, printed: Any) -> Exception:
        """Return the error that ends the task.

        :param ended: how the watch ended.
        :param printed: ranks of the nodes whose log the task has printed, ``"all"``, or None.
        """
        findings = NOTHING_FOUND
        if ended.run is not None and ended.why == "terminal":
            findings = self._findings(ended.run, ended.output)
            if printed is not None:
                findings = findings.without(printed)
        return ending_error(ended, self.client.credentials.host, findings, parse_retry_on(self.retry_on))

    def _final_values(self, mlflow_run_id: str) -> dict[str, Any]:
        from airflow.providers.databricks_air.api.logs.calls import mlflow_run
        from airflow.providers.databricks_air.run.outcome.metrics import final_values

        metrics: dict[str, Any] = {}
        params: dict[str, Any] = {}
        if mlflow_run_id:
            try:
                mlflow = self.client.perform(mlflow_run(mlflow_run_id).within(EXTRA_SECONDS))
                metrics, params = final_values(mlflow.metrics, mlflow.params)
            except ApiError as error:
                log.warning("The result is without metrics: %s", error)
        return {"metrics": metrics, "params": params}

    def _findings(self, run: Run, output: TaskOutput) -> Findings:
        from airflow.providers.databricks_air.api.logs.failure import investigate

        steps = investigate(run)
        try:
            call = next(steps)
            while True:
                try:
                    answer = self.client.perform(replace(call, budget=min(call.budget, EXTRA_SECONDS)))
                except ApiError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            findings: Findings = end.value
        output = self._output(run, output)
        host = self.client.credentials.host
        url = mlflow_url(host, output.mlflow_experiment_id, output.mlflow_run_id)
        return replace(findings, mlflow_url=url or "")

    def _output(self, run: Run, output: TaskOutput) -> TaskOutput:
        """Ask for the MLflow ids of the latest attempt where they are not known yet."""
        if output.mlflow_run_id or not run.latest:
            return output
        try:
            return self.client.perform(get_output(run.latest.run_id).once())
        except ApiError:
            # The ids are an addition to a run that has ended.
            return TaskOutput()
