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
"""The errors that end a task."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

__all__ = [
    "AirConfigError",
    "AirRunCancelledError",
    "AirRunFailedError",
    "AirRunFailedForGoodError",
    "AirRunInterruptedError",
    "AirRunTimeoutError",
    "AirServiceError",
]


class AirConfigError(AirflowFailException):
    """The author must change something first; a retry would end the same way, so there is none.

    Airflow does not ask the task's ``retry_policy`` (3.3 and later) after it.
    """


class AirServiceError(AirflowException):
    """The workspace could not be asked, or refuses to answer."""


class AirRunFailedError(AirflowException):
    """The run ended without success; the message starts with the reason.

    A callback finds it as ``context["exception"]``.

    :param message: everything that is known, on several lines.
    :param run_id: id of the run; None when there is none.
    :param run_page_url: the page of the run for people; empty when there is none.
    """

    def __init__(self, message: str = "", *, run_id: int | None = None, run_page_url: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id
        self.run_page_url = run_page_url

    @property
    def reason(self) -> str:
        """The reason alone, in one line."""
        return str(self).partition("\n")[0]


class AirRunFailedForGoodError(AirRunFailedError, AirflowFailException):
    """The run ended without success for a cause that ``retry_on`` does not list: Airflow does not try again."""


class AirRunCancelledError(AirRunFailedError):
    """Somebody cancelled the run outside of Airflow."""


class AirRunTimeoutError(AirRunFailedError):
    """The run took longer than the task allows, or waited longer for accelerators, and was cancelled."""


class AirRunInterruptedError(AirflowException):
    """The worker is going away; the run stays alive and the next try adopts it."""
