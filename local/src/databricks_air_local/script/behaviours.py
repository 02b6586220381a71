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
"""What a test says that runs do, instead of their command."""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from databricks_air_local.state.mlflow import SPECIAL_VALUES

if TYPE_CHECKING:
    from databricks_air_local.state.runs import Run

__all__ = ["Behaviours", "check_plan"]

_SECONDS = (int, float)
_STATE = re.compile("[A-Z_]+")
_PLAN = {
    "id": str,
    "experiment": str,
    "attempts": list,
    "times": int,
    "retry_wait": _SECONDS,
    "cancel_after": _SECONDS,
}
_SCRIPT = {
    "hold": list, "outcome": str, "after": _SECONDS, "message": str, "code": str, "exit_code": int,
    "node": int, "logs": list, "metrics": dict, "params": dict, "state": str,
}  # fmt: skip
_STEP = {"state": str, "seconds": _SECONDS, "message": str, "status": str, "code": str}


class Behaviours:
    """Plans for runs by experiment; the one that was added last wins.

    A plan holds ``experiment`` (a name or a pattern with ``*``), ``attempts`` (what each attempt does, the
    last for all that follow), and optionally ``retry_wait`` and ``cancel_after`` (seconds) and ``times``
    (how many runs it is for). What an attempt does:

    - ``hold``: steps before it starts, each with ``state`` (``PENDING`` or ``QUEUED``), ``seconds``
      (forever when left out), ``message``, ``status`` (the text of the server's ``STATUS:`` message) and
      ``code`` (queue code);
    - ``outcome``: ``SUCCESS``, ``FAILED``, ``TIMEDOUT`` or any other result state; the command runs without;
    - ``after``: seconds that it runs (forever when left out), ``message``, ``code``, ``exit_code``, ``logs``,
      ``metrics``, ``params``, and ``state``, the life-cycle state shown while it runs.
    """

    def __init__(self) -> None:
        self._plans: list[dict[str, Any]] = []

    def add(self, plan: dict[str, Any]) -> None:
        """Add a plan for the runs that are submitted from now on."""
        self._plans = [old for old in self._plans if not plan.get("id") or old.get("id") != plan["id"]]
        self._plans.append(dict(plan))

    def show(self) -> list[dict[str, Any]]:
        """Return the plans, the latest last."""
        return list(self._plans)

    def clear(self) -> None:
        """Forget all plans."""
        self._plans.clear()

    def plan(self, run: Run) -> dict[str, Any]:
        """Return the plan of a new run; empty when its command shall run."""
        for plan in reversed(self._plans):
            if plan.get("times") == 0 or not fnmatchcase(run.experiment, plan.get("experiment", "*")):
                continue
            if "times" in plan:
                plan["times"] -= 1
            return {key: value for key, value in plan.items() if key not in {"id", "experiment", "times"}}
        return {}


def check_plan(plan: dict[str, Any]) -> None:
    """Check what a test sent.

    :raises ValueError: naming the field, the value and the rule.
    """
    _check(plan, _PLAN, "behaviour")
    for script in plan.get("attempts", ()):
        _check_script(script)


def _check_script(script: dict[str, Any]) -> None:
    _check(script, _SCRIPT, "attempt")
    for name in ("outcome", "state"):
        if name in script and not _STATE.fullmatch(script[name]):
            raise ValueError(f"attempt field {name!r}: {script[name]!r} is no state such as FAILED")
    for key, values in script.get("metrics", {}).items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, bool) or not (isinstance(value, (int, float)) or value in SPECIAL_VALUES):
                raise ValueError(f"attempt field 'metrics': {key!r}: {value!r} must be a number")
    for step in script.get("hold", ()):
        _check(step, _STEP, "hold")


def _check(document: object, known: dict[str, Any], what: str) -> None:
    if not isinstance(document, dict):
        raise ValueError(f"{what}: {document!r} must be a mapping")
    for name, value in document.items():
        if name not in known:
            raise ValueError(f"{what} field {name!r}: not one of {', '.join(known)}")
        if not isinstance(value, known[name]):
            raise ValueError(f"{what} field {name!r}: {value!r} is of the wrong type")
        if known[name] is _SECONDS and (isinstance(value, bool) or not 0 <= value < math.inf):
            raise ValueError(f"{what} field {name!r}: {value!r} must be a number of seconds, not negative")
