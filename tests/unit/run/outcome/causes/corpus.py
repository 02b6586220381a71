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
"""Reads the two collections of log lines beside it: how runs end, and what means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
HEADING = "=== "


class Ending(NamedTuple):
    """The last lines of a node.

    :param cause: what a person would name.
    :param fact: how the told fact must begin; empty where the cause suffices.
    :param lines: oldest first.
    """

    cause: str
    fact: str
    lines: list[str]


def endings() -> list[Ending]:
    """Return how runs end."""
    found: list[Ending] = []
    for line in (HERE / "endings.txt").read_text().split("\n"):
        if line.startswith(HEADING):
            cause, _, fact = line.removeprefix(HEADING).partition(" | ")
            found.append(Ending(cause, fact, []))
        elif found:
            found[-1].lines.append(line)
    return found


def benign_lines() -> list[str]:
    """Return lines that mean nothing, however much their words may sound so."""
    lines = (HERE / "benign.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
