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

import contextlib
import logging
import time
from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow.providers.databricks_air.api.http.calls import TaskOutput
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.api.runs.result import follow_steps, output_of, result_of
from airflow.providers.databricks_air.api.runs.returned import read_returned
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
from airflow.providers.databricks_air.run.outcome.result import mlflow_url, page_url

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.call import Call
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.watch.watch import Ended
    from airflow.providers.databricks_air.run.outcome.returned import Returned
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
    "timeout_error",
]

log = logging.getLogger(__name__)

TIMED_OUT = frozenset({"expired", "queue_expired"})
ENDS_TASK = (AirError, AirflowException)
GAVE_UP = TIMED_OUT | {"missing", "denied"}
# A log may come a little later than the end of its run.
RETURNED_SECONDS = 60.0
RETURNED_PAUSE = 2.0


def task_error(error: Exception) -> Exception:
    """Return the error that ends a task, without the traceback that led to it.

    :param error: what this package raised on purpose.
    """
    if isinstance(error, ConfigError | SnapshotError):
        return AirConfigError(str(error))
    if isinstance(error, AuthError):
        return AirServiceError(
            f"The workspace refuses the connection's credentials: {str(error).rstrip('.')}\n"
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
    if not deserves_retry(cause, retry_on):
        error = AirRunFailedForGoodError
        message = f"{message}\nNo retry: the cause is {cause.value}, not one of retry_on"
    return error(message, run_id=run.run_id, run_page_url=url)


def timeout_error(timeout: timedelta | None, run_id: int | None, host: str) -> AirRunTimeoutError:
    """Return the error of a task whose ``execution_timeout`` has passed on the worker.

    :param timeout: of the task.
    :param run_id: its run; None when there is none yet.
    :param host: the workspace URL.
    """
    message = f"The task's execution_timeout of {timeout} has passed"
    if run_id is None:
        return AirRunTimeoutError(f"{message} before there was a run")
    url = f"{host}/jobs/runs/{run_id}"
    message = f"{message}\nAI Runtime run {run_id}\nRun page: {url}"
    return AirRunTimeoutError(message, run_id=run_id, run_page_url=url)


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

    def result(self, run: Run, output: TaskOutput | None = None) -> dict[str, Any]:
        """Return what downstream tasks get.

        :param run: the run that succeeded.
        :param output: what its latest attempt says, as far as it is known.
        """
        asked = result_of(self.client.calls, run, output, with_metrics=self.push_metrics)
        return self.client.run(asked)

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

    def _findings(self, run: Run, output: TaskOutput) -> Findings:
        from airflow.providers.databricks_air.api.logs.failure import investigate

        findings: Findings = self._follow(investigate(run))
        output = self.output(run, output)
        host = self.client.credentials.host
        url = mlflow_url(host, output.mlflow_experiment_id, output.mlflow_run_id)
        return replace(findings, mlflow_url=url or "")

    def returned(self, ended: Ended) -> Any:
        """Return what the function returned that a run has called.

        :param ended: how the watch of a run that succeeded ended.
        :raises AirConfigError: when the function has returned what is no JSON.
        :raises AirServiceError: when its result cannot be found in the run's log.
        """
        end = time.monotonic() + RETURNED_SECONDS
        while ended.run is not None:
            found: Returned | None = None
            with contextlib.suppress(ApiError):
                found = self._follow(read_returned(ended.run))
            if found is not None and found.error:
                raise AirConfigError(
                    f"The run succeeded, but the function's result cannot be returned: {found.error}"
                )
            if found is not None:
                return found.value
            if time.monotonic() >= end:
                break
            time.sleep(RETURNED_PAUSE)
        raise AirServiceError("The run succeeded, but its log does not show what the function returned")

    def _follow(self, steps: Generator[Call[Any], Any, Any]) -> Any:
        return self.client.run(follow_steps(self.client.calls, steps))

    def output(self, run: Run, output: TaskOutput | None = None) -> TaskOutput:
        """Return what the latest attempt says, asked for again where its MLflow ids are not known yet.

        :param run: the run.
        :param output: what is known of it.
        """
        return self.client.run(output_of(self.client.calls, run, output))
