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
"""What the workspace's own record says of a trial: runs, who asked for them, who asked to end them, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.story.chaos.slots import Slot

__all__ = ["CANCEL", "GET", "SUBMIT", "TOKEN", "WINDOW", "Ledger"]

SUBMIT, GET, CANCEL = "*/jobs/runs/submit", "*/jobs/runs/get", "*/jobs/runs/cancel"
TOKEN = "*/oidc/v1/token"
LISTS = ("/jobs/runs/list", "/ai-training/workflows")
# The polling interval of the trials is one second; twice that, and what a crowded machine adds.
WINDOW = 5.0


@dataclass(frozen=True)
class Ledger:
    """Reads the journal of one slot for one experiment.

    :param name: what the experiments of the trial begin with.
    :param by_list: whether a look at the list of runs counts as one at each of them. A triggerer looks at many runs of
        one connection so. A run that nobody follows is in the list, too: only where each of them must have returned
        its own result does the count hold.
    """

    slot: Slot
    name: str
    by_list: bool = False

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first."""
        return self.slot.runs(self.name)

    @property
    def alive(self) -> list[int]:
        """Ids of the runs that have not ended."""
        return [int(run["run_id"]) for run in self.runs if run["alive"]]

    def followed(self, window: float = WINDOW) -> set[int]:
        """Return the ids of the runs that somebody has asked for in the last *window* seconds."""
        since = self.slot.clock.now() - window
        looks = [r for r in self.slot.air.requests("GET") if r.time >= since]
        if self.by_list and any(look.path.endswith(LISTS) for look in looks):
            return {*self.alive}
        looks = [look for look in looks if "/jobs/runs/" in look.path]
        return {int(found) for look in looks for found in look.query.get("run_id", [])}

    def looks(self, run_id: int) -> int:
        """Return how often anybody has asked for a run."""
        return sum(str(run_id) in r.query.get("run_id", []) for r in self.slot.air.requests("GET", GET))

    @property
    def asked_to_end(self) -> set[int]:
        """Ids of the runs that somebody has asked to end, and was heard."""
        found = self.slot.air.requests("POST", CANCEL)
        return {int(json.loads(r.body)["run_id"]) for r in found if r.status == 200}

    @property
    def unfollowed(self) -> list[int]:
        """Ids of the runs that are alive, that nobody asks for and that nobody has asked to end."""
        return [one for one in self.alive if one not in self.followed() | self.asked_to_end]

    def ended_at(self) -> float | None:
        """Return when the newest run ended, in seconds since the epoch by Airflow's clock; None while it is alive."""
        runs = self.runs
        ended = runs[-1]["end_time"] if runs else None
        return ended / 1000 - self.slot.clock.ahead if ended else None
