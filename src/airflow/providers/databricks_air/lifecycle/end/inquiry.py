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
"""Asks Airflow what has become of the task instance of this process, and what that means for its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.lifecycle.attempts import Seen, dag_run_row
from airflow.providers.databricks_air.lifecycle.end.verdict import (
    CLEARED_WHILE_RUNNING,
    USER_STATES,
    RunPolicy,
    Verdict,
    ask_for_task,
    judge_worker,
)
from airflow.providers.databricks_air.version_compat import is_trial

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["Inquiry"]


class Inquiry:
    """What Airflow says of one running task instance.

    :param context: of the running task.
    :param policy: what the author wants to become of the run.
    """

    def __init__(self, context: Context, policy: RunPolicy) -> None:
        self.ti: Any = context["ti"]
        self._is_trial = is_trial(context)
        self._row = dag_run_row(context)
        self._began = getattr(context["dag_run"], "start_date", None)
        self._policy = policy

    @property
    def is_adoptable(self) -> bool:
        """Whether Airflow tries again by itself, and that try adopts the run."""
        return self._policy.durable and bool(self.ti.try_number <= self.ti.max_tries)

    def ask(self) -> Seen | None:
        """Return the state of this very task instance; None for no answer. Blocks on Airflow's own channel."""
        return ask_for_task(self.ti, self._began, self._policy.on_clear, self._row)

    def ask_for_act(self) -> Seen | None:
        """Return the state that a user has put the task instance into; None for none, and for no answer.

        ``dags test`` and ``tasks test`` run a task whatever Airflow says of it.
        """
        seen = None if self._is_trial else self.ask()
        return seen if seen is not None and seen.state in USER_STATES else None

    def verdict(self, seen: Seen | None, *, timed_out: bool = False) -> Verdict:
        """Decide what an answer means for the run.

        :param seen: the answer.
        :param timed_out: whether ``execution_timeout`` is what ends the task.
        """
        return judge_worker(
            seen,
            try_number=self.ti.try_number,
            is_adoptable=self.is_adoptable,
            timed_out=timed_out,
            on_clear=self._policy.on_clear,
        )

    def is_clear(self, seen: Seen | None) -> bool:
        """Say whether a user has cleared the task, which is to have another run then.

        :param seen: the answer.
        """
        return seen is not None and seen.state == CLEARED_WHILE_RUNNING and bool(self.verdict(seen).cancel)

    @property
    def question(self) -> Mapping[str, Any]:
        """The same question for a process of its own, as JSON values."""
        names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
        return {
            **{name: getattr(self.ti, name) for name in names},
            "began": self._began and self._began.isoformat(),
            "on_clear": self._policy.on_clear,
        }
