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
"""What can go wrong between this machine and a workspace.

::

    AirError
    ├── HaltedError          the task is being ended: nothing was asked
    └── ApiError             a workspace was asked
        ├── AuthError        401, 403: an administrator must act
        │   └── MovedError   the workspace is elsewhere
        ├── NotFoundError    the thing does not exist
        │   └── RunNotFoundError
        ├── ConflictError    the thing exists already, or is in the way
        ├── RequestError     the request itself is refused
        └── ServiceError     no answer that can be believed: wait and ask again
            └── UnknownHostError
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from airflow.providers.databricks_air.run.errors import AirError

__all__ = [
    "ApiError",
    "AuthError",
    "ConflictError",
    "HaltedError",
    "MovedError",
    "NotFoundError",
    "RequestError",
    "RunNotFoundError",
    "ServiceError",
    "UnknownHostError",
    "error_from_answer",
    "unknown_host",
]


class HaltedError(AirError):
    """Nothing is sent any more: the task is being ended. No blip, and no answer of the workspace."""


class ApiError(AirError):
    """A workspace was asked and the answer is not the one hoped for.

    :param message: what the server said, or what happened to the connection.
    :param status: HTTP status; None when no answer arrived.
    :param error_code: ``error_code`` of the answer; empty when it has none.
    :param request: method and path, without query and without credentials.
    :param retry_after: seconds that the server asks to wait; None when it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_code: str = "",
        request: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.error_code = error_code
        self.request = request
        self.retry_after = retry_after
        super().__init__(message)

    def __str__(self) -> str:
        """Say who answered what to which request."""
        code = " ".join(str(part) for part in (self.status, self.error_code) if part)
        said = f"{code}: {self.message}" if code else self.message
        return f"{self.request}: {said}" if self.request else said


class AuthError(ApiError):
    """The credentials are refused (401), or do not allow this (403)."""


class MovedError(AuthError):
    """The address of the workspace leads elsewhere; the credentials were not sent there."""


class NotFoundError(ApiError):
    """The thing asked for does not exist."""


class RunNotFoundError(NotFoundError):
    """The run does not exist (any more): the service forgets runs after 60 days."""


class ConflictError(ApiError):
    """The thing exists already, or something is in its way."""


class RequestError(ApiError):
    """The server understood the request and refuses it."""


class ServiceError(ApiError):
    """The service cannot answer now: network trouble, 429, 5xx or an unreadable answer."""


class UnknownHostError(ServiceError):
    """Nobody knows a host of this name; that may pass, but more often the name is wrong."""


def unknown_host(host: str, origin: str, *, request: str = "") -> UnknownHostError:
    """Return the error that says which field of which connection to look at.

    :param host: the workspace URL.
    :param origin: where it comes from; empty when nobody said.
    :param request: method and path.
    """
    field = f"the host (workspace URL) of {origin}" if origin else "the workspace URL"
    return UnknownHostError(f"nobody knows {host}. Check {field}", request=request)


BY_CODE: dict[str, type[ApiError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "ENDPOINT_NOT_FOUND": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": ConflictError,
    "ALREADY_EXISTS": ConflictError,
    "FEATURE_DISABLED": RequestError,
    "ABORTED": ServiceError,
    "RESOURCE_EXHAUSTED": ServiceError,
    "REQUEST_LIMIT_EXCEEDED": ServiceError,
    "TEMPORARILY_UNAVAILABLE": ServiceError,
}
BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    408: ServiceError,
    409: ConflictError,
    429: ServiceError,
}

# runs/get, runs/get-output and runs/cancel answer 400 for an unknown run, in one of two wordings.
_RUN_IS_GONE = re.compile(r"^Run:? \d+ (in job: \d+ )?(does not|doesn't) exist", re.IGNORECASE)


def error_from_answer(status: int, headers: Mapping[str, str], body: bytes, *, request: str) -> ApiError:
    """Return the error that an answer with a status of 400 or more means.

    A specific ``error_code`` comes before the status; a server error is always one to wait for.
    """
    code, message = _code_and_message(body)
    kind = BY_STATUS.get(status, RequestError if status < 500 else ServiceError)
    if status < 500:
        kind = BY_CODE.get(code, kind)
    if _RUN_IS_GONE.match(message):
        kind = RunNotFoundError
    return kind(
        message or f"HTTP {status} without a message",
        status=status,
        error_code=code,
        request=request,
        retry_after=_retry_after(headers),
    )


def _code_and_message(body: bytes) -> tuple[str, str]:
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed: Any = json.loads(text)
    except ValueError:
        return _plain_text(text)
    if not isinstance(parsed, Mapping):
        return "", text[:500]
    message = parsed.get("message") or parsed.get("error") or parsed.get("detail") or ""
    return str(parsed.get("error_code") or ""), str(message)[:2000]


def _plain_text(text: str) -> tuple[str, str]:
    title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return "", title.group(1).strip()[:500]
    code = re.match(r"([A-Z][A-Z_]+): (.*)", text, re.DOTALL)
    return (code.group(1), code.group(2)[:2000]) if code else ("", text[:500])


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - time.time())
