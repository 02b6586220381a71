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
"""What machines read of a command: one envelope for data and one for what went wrong.

``{"v": 1, "ts": …, "data": …}`` and ``{"v": 1, "ts": …, "error": {code, kind, message, retryable}}`` are those of the
``databricks air`` command, each on one line of the standard output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow.providers.databricks_air.run.errors import AirError, ConfigError

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "USAGE",
    "CommandError",
    "Problem",
    "data_line",
    "error_line",
    "now",
    "problem_of",
]

DONE = 0
"""Exit code: done; of a run that was followed: it succeeded."""
FAILED = 1
"""Exit code: refused or not found; of a run that was followed: it did not succeed."""
USAGE = 2
"""Exit code: the command was called wrongly."""
INTERRUPTED = 130
"""Exit code: ended by Ctrl-C."""

_VERSION = 1


@dataclass(frozen=True)
class Problem:
    """What went wrong.

    :param code: the kind of mistake, in capitals.
    :param kind: ``PERMANENT``, ``NOT_FOUND``, or ``TRANSIENT`` for one that may pass.
    :param message: for people.
    :param exit_code: what the command exits with.
    """

    code: str
    kind: str
    message: str
    exit_code: int = FAILED

    @property
    def retryable(self) -> bool:
        """Whether the same command may work later."""
        return self.kind == "TRANSIENT"

    def to_json(self) -> dict[str, Any]:
        """Return the four fields of the error envelope."""
        return {
            "code": self.code,
            "kind": self.kind,
            "message": self.message,
            "retryable": self.retryable,
        }


class CommandError(AirError):
    """A command cannot do what it was asked.

    :param message: for people: what is wrong and what to do.
    :param code: the kind of mistake, in capitals.
    :param exit_code: what the command exits with.
    """

    def __init__(self, message: str, code: str = "INVALID_ARGS", exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code


def problem_of(error: AirError) -> Problem:
    """Return what an error of this package means to who called a command."""
    if isinstance(error, CommandError):
        return Problem(error.code, "PERMANENT", str(error), error.exit_code)
    if isinstance(error, ConfigError):
        return Problem("INVALID_CONFIG", "PERMANENT", str(error))
    return _api_problem(error)


def _api_problem(error: AirError) -> Problem:
    from airflow.providers.databricks_air.api.http import errors

    message = str(error)
    if isinstance(error, errors.NotFoundError):
        return Problem("NOT_FOUND", "NOT_FOUND", error.message)
    if isinstance(error, errors.ServiceError):
        return Problem("INTERNAL_ERROR", "TRANSIENT", message)
    if isinstance(error, errors.AuthError) and error.error_code != "FEATURE_DISABLED":
        return Problem(
            "PERMISSION_DENIED" if error.status == 403 else "UNAUTHENTICATED", "PERMANENT", message
        )
    if isinstance(error, errors.ApiError):
        return Problem(error.error_code or "INVALID_ARGS", "PERMANENT", message)
    return Problem("INVALID_ARGS", "PERMANENT", message)


def now() -> str:
    """Return the time as the envelopes have it: RFC 3339, whole seconds, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def data_line(data: Mapping[str, Any]) -> str:
    """Return the envelope of data."""
    return _line("data", data)


def error_line(problem: Problem) -> str:
    """Return the envelope of an error."""
    return _line("error", problem.to_json())


def _line(name: str, value: Mapping[str, Any]) -> str:
    return json.dumps({"v": _VERSION, "ts": now(), name: value}, ensure_ascii=False)
