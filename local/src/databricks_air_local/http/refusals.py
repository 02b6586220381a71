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
"""The service says no: status, code and message, and the checks of plain values that say it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Refusal", "decimal", "integer", "malformed", "missing", "refuse"]

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

    @property
    def body(self) -> dict[str, str]:
        """Return the JSON of the answer."""
        return {"error_code": self.code, "message": self.message}


def refuse(message: str) -> Refusal:
    """Return the 400 that the service gives for a value it does not accept."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> Refusal:
    """Return the 400 that the service gives for a body or a query it cannot read.

    :param message: what is wrong, behind the service's own first words.
    """
    return Refusal(400, "MALFORMED_REQUEST", f"Could not parse request object: {message}")


def missing(message: str) -> Refusal:
    """Return the 404 that the service gives for a thing that is not there."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)


def integer(value: object, name: str) -> int:
    """Return a JSON number, or one as text as every JSON form of a protocol buffer may have it, as an int64.

    :raises Refusal: when it is not one.
    """
    if isinstance(value, str) and len(value) < 21:
        digits = value.removeprefix("-")
        value = int(value) if digits.isascii() and digits.isdigit() else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise malformed(f"{name} must be an integer")
    if not -(2**63) <= value < 2**63:
        raise malformed(f"{name} is out of range")
    return value


def decimal(value: object, name: str) -> float:
    """Return a JSON number or numeric string that is finite and not negative.

    :raises Refusal: when it is not one.
    """
    try:
        known = isinstance(value, (int, float, str)) and not isinstance(value, bool)
        number = float(value) if known else -1.0  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < _FOREVER:
        raise refuse(f"{name}: {str(value)[:100]!r} must be a number of seconds that is not negative")
    return number
