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
"""How a watch or a mistake becomes the end of a task: one clear message and no traceback above it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow.providers.databricks_air.api.http.errors import AuthError
from airflow.providers.databricks_air.api.watch.watch import Ended, Event, Lines, Said
from airflow.providers.databricks_air.exceptions import (
    AirConfigError,
    AirRunCancelledError,
    AirRunFailedError,
    AirRunFailedForGoodError,
    AirRunTimeoutError,
    AirServiceError,
)
from airflow.providers.databricks_air.run.errors import AirError, ConfigError, SnapshotError
from airflow.providers.databricks_air.run.outcome.cause import CauseKind, deserves_retry
from airflow.providers.databricks_air.run.outcome.diagnosis import kind_of_failure
from airflow.providers.databricks_air.run.outcome.failure import NOTHING_FOUND, Findings, failure_message
from airflow.providers.databricks_air.run.outcome.result import page_url

__all__ = ["ENDS_TASK", "GAVE_UP", "TIMED_OUT", "ending_error", "parse_run_id", "task_error", "tell"]

TIMED_OUT = frozenset({"expired", "queue_expired"})
ENDS_TASK = (AirError, AirflowException)
GAVE_UP = TIMED_OUT | {"missing", "denied"}


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


def tell(log: Any, event: Event) -> None:
    """Print one event of a watch."""
    if isinstance(event, Said):
        log.log(logging.WARNING if event.is_trouble else logging.INFO, "%s", event.text)
    elif isinstance(event, Lines):
        for line in event.lines:
            log.info("%s", line.text)
