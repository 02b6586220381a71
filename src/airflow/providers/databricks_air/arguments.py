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
from typing import Any, Literal

__all__ = ["DEFAULT_CONN_ID", "OnClear", "OnKill", "check_choice", "check_positive"]

DEFAULT_CONN_ID = "databricks_air_default"

OnKill = Literal["cancel", "detach"]
"""What a user's end of the task means for its run."""
OnClear = Literal["rerun", "adopt"]
"""Whether a cleared task starts a fresh run or follows the one that it has."""


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    :raises ValueError: with the name, the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}")


def check_positive(name: str, value: Any) -> None:
    """Refuse seconds that are not a positive number; None means that there is no limit.

    :raises ValueError: with the name, the value and the rule.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name}: {value!r} is not a positive number of seconds")
