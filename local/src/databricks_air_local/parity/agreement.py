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
"""Comparing two recordings field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Agreement", "compare"]


@dataclass(frozen=True)
class Agreement:
    """What two recordings say of the calls that both have.

    :param fields: how many fields the first has.
    :param differences: a line for each that the second has not, or has otherwise.
    """

    fields: int
    differences: tuple[str, ...]

    @property
    def words(self) -> str:
        """Return the sum in one line."""
        return f"agrees: {self.fields - len(self.differences)} of {self.fields} fields"


def compare(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Agreement:
    """Return how far our answers agree with theirs, which are the measure."""
    answers = {answer["name"]: dict(_fields(answer)) for answer in ours}
    count, differences = 0, []
    for answer in theirs:
        here = answers.get(answer["name"], {})
        for place, value in _fields(answer):
            count += 1
            if place not in here:
                differences.append(f"{answer['name']}: {place}: {value!r} is missing here")
            elif here[place] != value:
                differences.append(f"{answer['name']}: {place}: {value!r}, here {here[place]!r}")
    return Agreement(count, tuple(differences))


def _fields(answer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "status", answer["status"]
    yield from _leaves(answer["body"], "body")


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{place}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{place}[]")
    elif place != "body":
        yield place, value
