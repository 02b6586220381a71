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
"""The hand-over of a run from a task's process to its trigger: until the trigger has it, the process stays.

Airflow tells nobody that a person has ended a task which is deferred and which no triggerer has taken up yet: its
process has reported, and its trigger does not exist.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.lifecycle.attempts import Seen, is_gone
from airflow.providers.databricks_air.lifecycle.end.verdict import ON_ITS_WAY, Verdict, judge_trigger
from airflow.providers.databricks_air.lifecycle.owner.record import OWNER_KEY, POSITION_KEY, read_owner
from airflow.providers.databricks_air.version_compat import read_own_xcom

if TYPE_CHECKING:
    from airflow.providers.databricks_air.arguments import OnClear

__all__ = ["HAND_OVER_SECONDS", "HandOver"]

HAND_OVER_SECONDS = 2.5
"""How long a process waits for its trigger.

Airflow 2 ends one that stays longer at its second heartbeat. Every version takes a task for failed that goes on
before its process is heard to have ended, and a trigger keeps its event for eight seconds only (``WORKER_ENDS``).
"""
NEWER_ATTEMPT_SECONDS = 12.0
PAUSE = 0.3
ASK_EVERY = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HandOver:
    """Waits for the trigger of a task that has just been deferred.

    :param ti: the task instance.
    :param run_id: id of the run.
    :param on_clear: what a cleared task does with its old run.
    :param ask: asks Airflow for the state of this very task instance; None for no answer.
    :param next_try_knows: whether a cleared task's next try finds the run and ends it.
    """

    ti: Any
    run_id: int
    on_clear: OnClear
    ask: Callable[[], Seen | None]
    next_try_knows: bool

    def verdict(self, is_cut_short: Callable[[], bool]) -> Verdict:
        """Wait until the trigger has the run or a person has ended the task, and return what that means.

        :param is_cut_short: whether this process has to end.
        """
        began = time.monotonic()
        end = began + HAND_OVER_SECONDS
        for number in itertools.count():
            if self._is_taken():
                return Verdict(False, "its trigger has it")
            is_last = is_cut_short() or time.monotonic() >= end
            # Seldom: on a busy machine each request keeps this process for a second longer.
            if is_last or number % ASK_EVERY == 0:
                seen, verdict = self._judge()
                if is_cut_short() or verdict.cancel is not None:
                    return verdict
                if seen is not None and (seen.try_number or 0) > self.ti.try_number:
                    # The try of this process is over, so that to stay costs nothing.
                    end = began + NEWER_ATTEMPT_SECONDS
                if time.monotonic() >= end:
                    return verdict
            time.sleep(PAUSE)
        raise AssertionError("it counts for ever")

    def _is_taken(self) -> bool:
        try:
            position = read_own_xcom(self.ti, POSITION_KEY)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            log.debug("Airflow does not tell whether a trigger has taken the run up: %s", error)
            return False
        return isinstance(position, Mapping) and position.get("try_number") == self.ti.try_number

    def _judge(self) -> tuple[Seen | None, Verdict]:
        try:
            seen = self.ask()
            if self.next_try_knows and seen is not None and seen.state in ON_ITS_WAY:
                # Its trigger was lost, or it was cleared. To stay would cost it the try, see HAND_OVER_SECONDS.
                return seen, Verdict(False, "the task goes on elsewhere")
            owner = read_owner(self.ti, OWNER_KEY)
        except Exception as error:  # noqa: BLE001 - Airflow has many errors, and one that matters
            if is_gone(error) and self.on_clear != "adopt":
                # Airflow 3.4 answers a former attempt nothing else.
                return None, Verdict(True, "the task instance was cleared")
            return None, Verdict(None, f"Airflow does not answer: {error}")
        if seen is not None and seen.state == "deferred" and (owner is None or owner[1] == self.run_id):
            return seen, Verdict(None, "no trigger has it yet")
        judged = judge_trigger(
            seen, run_id=self.run_id, try_number=self.ti.try_number, owner=owner, on_clear=self.on_clear
        )
        return seen, judged
