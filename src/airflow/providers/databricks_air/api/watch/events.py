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
"""What a watch tells: words about the run, lines of its log, and one ending."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from airflow.providers.databricks_air.api.http.calls import TaskOutput
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Ended", "Event", "Found", "Lines", "Said"]


@dataclass(frozen=True)
class Said:
    """A line about the run that is worth a line in the task's log.

    :param text: the line.
    :param is_trouble: whether it is about trouble on the way to the workspace.
    """

    text: str
    is_trouble: bool = False


@dataclass(frozen=True)
class Lines:
    """New lines of the run's own log, in order."""

    lines: list[LogLine]


@dataclass(frozen=True)
class Found:
    """The MLflow run of an attempt, as soon as it is known.

    :param output: with the ids of the MLflow run and its experiment.
    """

    output: TaskOutput


@dataclass(frozen=True)
class Ended:
    """Why the watch is over; always the last thing that it tells.

    :param why: the run ended; a deadline passed; or the service says for certain that we cannot see the run.
    :param run: what was seen last; None when the run was never seen.
    :param output: what the latest attempt says beside its state.
    :param message: for people; empty when the run says it all.
    """

    why: Literal["terminal", "expired", "queue_expired", "missing", "denied"]
    run: Run | None
    output: TaskOutput = field(default_factory=TaskOutput)
    message: str = ""


Event: TypeAlias = Said | Lines | Found | Ended
