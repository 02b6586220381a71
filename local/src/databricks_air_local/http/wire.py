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
"""What a handler takes and gives back: a request value in, a value out, one place that writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Refusal", "Reply", "Request", "decimal", "integer", "malformed", "missing", "refuse", "to_reply"]


_FOREVER = 1e12


class Refusal(Exception):
    """The service says no: status, error code and message, as the real one words it.

    :param status: HTTP status.
    :param code: the ``error_code`` of the body.
    :param message: the ``message`` of the body.
    :param headers: further response headers.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        """Return the refusal as a response."""
        body = {"error_code": self.code, "message": self.message}
        return Reply(self.status, json.dumps(body).encode(), dict(self.headers))


def refuse(message: str) -> Refusal:
    """Return the 400 that the service gives for a value it does not accept."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> Refusal:
    """Return the 400 that the service gives for a body or a query it cannot read."""
    return Refusal(400, "MALFORMED_REQUEST", message)


def missing(message: str) -> Refusal:
    """Return the 404 that the service gives for a thing that is not there."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)


@dataclass
class Reply:
    """A response before it is written.

    :param status: HTTP status.
    :param body: the bytes to send; ignored when ``file`` is set.
    :param headers: response headers; ``Content-Type`` is JSON unless given.
    :param file: a file to stream instead of ``body``; ``Range`` is honoured.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None


@dataclass
class Request:
    """One request, read and decoded once.

    :param method: upper-case HTTP method.
    :param path: decoded path.
    :param params: what the placeholders of the route matched.
    :param query: query parameters, the values of each in order.
    :param headers: request headers.
    :param body: the body, unless the route takes it as a file.
    :param upload: the body as a file, for routes that take one; the handler owns it.
    """

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    upload: Path | None = None

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        :raises Refusal: when it is not one.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise malformed("Could not parse request object: Expected a JSON object") from None
        if not isinstance(value, dict):
            raise malformed("Could not parse request object: Expected a JSON object")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a query parameter.

        :raises Refusal: when it is absent and has no default.
        """
        values = self.query.get(name)
        if values:
            return values[-1]
        if default is None:
            raise refuse(f"Missing required field: {name}")
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean query parameter.

        :raises Refusal: when it is neither ``true`` nor ``false``.
        """
        value = self.text(name, "true" if default else "false").lower()
        if value not in {"true", "false"}:
            raise malformed(f"Could not parse request object: {name} must be true or false")
        return value == "true"

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer query parameter.

        :raises Refusal: when it is not an int64, or absent without a default.
        """
        return integer(self.text(name, None if default is None else str(default)), name)


def integer(value: object, name: str) -> int:
    """Return a JSON number or numeric string as an int64.

    :raises Refusal: when it is not one.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (
        isinstance(value, str)
        and value.lstrip("-").isascii()
        and value.lstrip("-").isdigit()
        and len(value) < 21
    ):
        number = int(value)
    else:
        raise malformed(f"Could not parse request object: {name} must be an integer")
    if not -(2**63) <= number < 2**63:
        raise malformed(f"Could not parse request object: {name} is out of range")
    return number


def decimal(value: object, name: str) -> float:
    """Return a JSON number or numeric string that is finite and not negative.

    :raises Refusal: when it is not one.
    """
    try:
        number = (
            float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
        )
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < _FOREVER:
        raise refuse(f"{name}: {str(value)[:100]!r} must be a number of seconds that is not negative")
    return number


def to_reply(value: object) -> Reply:
    """Turn what a handler returned into a response: a mapping is JSON, bytes are bytes, nothing is ``{}``."""
    if isinstance(value, Reply):
        return value
    if isinstance(value, bytes):
        return Reply(200, value, {"Content-Type": "application/octet-stream"})
    return Reply(200, json.dumps({} if value is None else value).encode())
