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
"""What a cause of a failure is, and whether Airflow may try again after it."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, IntEnum
from typing import NamedTuple

__all__ = ["CauseKind", "Diagnosis", "Weight", "deserves_retry", "parse_retry_on"]


class CauseKind(str, Enum):
    """Who must act before the same run can end well."""

    INFRASTRUCTURE = "infrastructure"
    """Nobody: hardware, network or a service failed."""
    CAPACITY = "capacity"
    """Nobody, but it takes time: there were not enough accelerators or a limit was reached."""
    TIMEOUT = "timeout"
    """The author: it did not end in its time."""
    USER_CODE = "user_code"
    """The author: the training code or its dependencies failed."""
    CONFIGURATION = "configuration"
    """The author or an administrator: the run was not allowed or not possible as asked for."""
    CANCELLED = "cancelled"
    """Somebody ended it on purpose."""
    UNKNOWN = "unknown"
    """It cannot be told."""


class Weight(IntEnum):
    """How much a fact in a log explains; a smaller number explains more."""

    CAUSE = 0
    """It needs no other fact to explain it."""
    CONSEQUENCE = 1
    """Most often another process, here or on another node, ended before."""
    LAUNCHER = 2
    """The program that started the training tells that a process of it ended."""
    EXIT_CODE = 3
    """The command's own exit code, and nothing else."""


class Diagnosis(NamedTuple):
    """A recognised cause.

    :param name: the cause in one word, such as ``cuda_memory``.
    :param fact: what the log says of it, in one line.
    :param hint: what to do about it, in one line; empty when the fact says it all.
    :param kind: who must act.
    :param weight: how much it explains.
    :param at: place of the line that tells it, among the lines that were looked at.
    """

    name: str
    fact: str
    hint: str
    kind: CauseKind
    weight: Weight = Weight.CAUSE
    at: int = 0


def parse_retry_on(causes: Collection[str] | None) -> frozenset[CauseKind] | None:
    """Return the kinds that an author listed; None stays None.

    :raises ValueError: when one of them is not a kind, with the ones there are.
    """
    if causes is None:
        return None
    known = {kind.value: kind for kind in CauseKind}
    listed = [causes] if isinstance(causes, str) else list(causes)
    wrong = [str(cause) for cause in listed if cause not in known]
    if wrong:
        raise ValueError(
            f"retry_on: {', '.join(map(repr, wrong))} is not a cause; choose from {', '.join(known)}"
        )
    return frozenset(known[cause] for cause in listed)


def deserves_retry(kind: CauseKind, retry_on: Collection[CauseKind] | None) -> bool:
    """Return whether Airflow may try again.

    :param kind: why the run failed. What cannot be told is tried again: a guess must not end a task.
    :param retry_on: the kinds worth another try; None for every one.
    """
    return retry_on is None or kind is CauseKind.UNKNOWN or kind in retry_on
