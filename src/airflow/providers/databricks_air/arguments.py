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
"""What an author may choose, and checks of arguments that are no templates, made when the Dag is parsed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

__all__ = [
    "DEFAULT_CONN_ID",
    "Duration",
    "OnClear",
    "OnKill",
    "check_choice",
    "check_durations",
    "seconds_of",
]

DEFAULT_CONN_ID = "databricks_air_default"

OnKill = Literal["cancel", "detach"]
"""What a user's end of the task means for its run."""
OnClear = Literal["rerun", "adopt"]
"""Whether a cleared task starts a fresh run or follows the one that it has."""
Duration: TypeAlias = float | timedelta
"""A length of time: seconds or a ``timedelta``."""


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    :raises ValueError: with the name, the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}")


def check_durations(task_id: str, **durations: Any) -> None:
    """Refuse what can be no length of time; a template and an XCom are looked at when they are rendered.

    :param task_id: of the task, for the message.
    :raises ValueError: with the task, the name, the value and the rule.
    """
    for name, value in durations.items():
        if value is None:
            continue
        is_for_later = hasattr(value, "resolve") or (isinstance(value, str) and "{{" in value)
        if not is_for_later:
            try:
                seconds_of(name, value)
            except ValueError as error:
                raise ValueError(f"task {task_id!r}: {error}") from None


def seconds_of(name: str, value: Any) -> float | None:
    """Return the seconds of a length of time; None, which is no limit, stays None.

    :param name: of the argument, for the message.
    :param value: seconds as a number or, from a template, as the text of one; or a ``timedelta``.
    :raises ValueError: with the name, the value and the rule.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    try:
        if not isinstance(seconds, bool) and 0 < float(seconds) < float("inf"):
            return float(seconds)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name}: {value!r} is neither a positive number of seconds nor a timedelta above 0")
