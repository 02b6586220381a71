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

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.databricks_air.local.runs import Run

__all__ = ["Behaviours"]


class Behaviours:
    """Plans for runs by experiment; the one that was added last wins.

    A plan holds ``experiment`` (a name or a pattern with ``*``), ``attempts`` (what each attempt does, the last
    for all that follow), and optionally ``retry_wait`` and ``cancel_after`` (seconds) and ``times`` (how many runs
    it is for). What an attempt does:

    - ``hold``: steps before it starts, each with ``state`` (``PENDING`` or ``QUEUED``), ``seconds`` (forever when
      left out), ``message``, ``status`` (the text of the server's ``STATUS:`` message) and ``code`` (queue code);
    - ``outcome``: ``SUCCESS``, ``FAILED``, ``TIMEDOUT`` or any other result state; left out, the command runs;
    - ``after``: seconds that it runs (forever when left out), ``message``, ``code``, ``exit_code``, ``logs``,
      ``metrics``, ``params``, and ``state``, the life-cycle state shown while it runs.
    """

    def __init__(self) -> None:
        self._plans: list[dict[str, Any]] = []

    def add(self, plan: dict[str, Any]) -> None:
        """Add a plan for the runs that are submitted from now on."""
        self._plans.append(dict(plan))

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
            return {key: value for key, value in plan.items() if key not in {"experiment", "times"}}
        return {}
