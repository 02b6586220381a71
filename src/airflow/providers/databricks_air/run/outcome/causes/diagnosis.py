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
"""Why a run failed, as far as its last lines and the service's own words tell; or nothing.

What the service says comes before what the log says. In the log, the last traceback or fatal line of a process
counts, and of several processes the one that failed first. A line that is not known says nothing: a wrong
cause sends people and retries the wrong way, an unknown one costs nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.run.outcome.causes.cause import CauseKind, Diagnosis
from airflow.providers.databricks_air.run.outcome.causes.exit_codes import ends
from airflow.providers.databricks_air.run.outcome.causes.fatal_lines import fatal_lines
from airflow.providers.databricks_air.run.outcome.causes.known_errors import diagnosis_of
from airflow.providers.databricks_air.run.outcome.causes.service_codes import asks_the_log, kind_by_service
from airflow.providers.databricks_air.run.outcome.causes.tracebacks import PlainLine, chains_of, plain_lines

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["diagnose", "kind_of_failure"]

# The kernel and the driver tell what a process only suffers.
_EXPLAINS = {"host_memory": {"killed", "terminated"}, "gpu_fault": {"gpu_kernel", "gpu_setup", "crash"}}
_PROGRESS = re.compile(
    r"(?i)^\W{0,3}(?:epoch|step|iter(?:ation)?|batch|train(?:ing)?)\b\D{0,12}\d"
    r"|\d{1,3}%\||\bloss[ =:]+-?\d|\d(?:it/s|s/it)\b"
)
_WORK_WENT_ON = 3
_PROGRESS_LENGTH = 160


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """Return the cause that the lines show, or None.

    :param lines: the last lines of a failed node, oldest first.
    """
    # Several processes write into one log: each has its own last words, and the first to say them failed first.
    by_sender: dict[str, list[PlainLine]] = {}
    for line in plain_lines(lines):
        by_sender.setdefault(line.sender, []).append(line)
    facts = [found for each in by_sender.values() if (found := _facts(each))]
    last_words = [min(each, key=lambda fact: (fact.weight, -fact.at)) for each in facts]
    first = min(last_words, key=lambda fact: (fact.weight, fact.at), default=None)
    if first is None:
        return None
    causes = (fact for each in facts for fact in each if first.name in _EXPLAINS.get(fact.name, ()))
    return next(causes, first)


def kind_of_failure(run: Run, diagnosis: Diagnosis | None = None) -> CauseKind:
    """Return who must act on a run that ended without success.

    :param run: the run, terminal.
    :param diagnosis: what its last lines show; believed where the service says only that the command failed.
    """
    if diagnosis is not None and asks_the_log(run):
        return diagnosis.kind
    return kind_by_service(run)


def _facts(lines: list[PlainLine]) -> list[Diagnosis]:
    """Return what may have ended one process, without what was handled."""
    facts = [*map(diagnosis_of, chains_of(lines)), *fatal_lines(lines), *ends(lines)]
    handled = _went_on_until(lines) if facts else -1
    return [fact for fact in facts if fact.at > handled]


def _went_on_until(lines: list[PlainLine]) -> int:
    """Return the place before which whatever failed was handled, for the work went on; -1 for none."""
    progress = (line.at for line in reversed(lines) if _PROGRESS.search(line.text[:_PROGRESS_LENGTH]))
    return next(itertools.islice(progress, _WORK_WENT_ON - 1, None), -1)
