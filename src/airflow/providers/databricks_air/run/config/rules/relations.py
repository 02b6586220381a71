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
"""The rules between fields, as values: each tells what is wrong in a document, and says the same as JSON Schema.

A field is set when its value is neither absent, empty (null) nor an empty list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import PydanticCustomError

from airflow.providers.databricks_air.run.config.rules.sentences import REQUIRED, mistake
from airflow.providers.databricks_air.run.document.paths import FieldPath

__all__ = ["Apart", "AtLeastOne", "Conflict", "Needs", "Relation", "is_set", "value_at"]

#: A broken rule about several fields: the path of the one to report it at, and the error.
Conflict = tuple[FieldPath, PydanticCustomError]


class Relation(Protocol):
    """A rule between the fields of one part of the configuration."""

    @property
    def partial(self) -> bool:
        """Whether it also holds for a document that is only a part, such as one that starts from bases."""

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong in *data*, which may hold anything."""

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON Schema."""


def value_at(data: Any, path: str) -> Any:
    """Return the value at the dotted *path* of mappings or models; None where there is none."""
    for name in path.split("."):
        data = data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)
    return data


def is_set(data: Any, path: str) -> bool:
    """Return whether *data* says something for the field at the dotted *path*."""
    value = value_at(data, path)
    return value is not None and value not in ([], ())


def _is_set_schema(path: str) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    inner = _is_set_schema(rest) if rest else {"not": {"enum": [None, []]}}
    return {"type": "object", "required": [name], "properties": {name: inner}}


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


@dataclass(frozen=True)
class Apart:
    """A field that cannot stand beside others.

    :param name: the field.
    :param others: those that cannot stand beside it; all that are set are named.
    :param hint: what to do.
    :param at: the field to report it at; *name* when empty.
    """

    name: str
    others: tuple[str, ...]
    hint: str
    at: str = ""
    partial: bool = True

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield one error that names every field in the way."""
        found = [name for name in self.others if is_set(data, name)]
        if found and is_set(data, self.name):
            at = tuple((self.at or self.name).split("."))
            yield at, mistake(f"{_listed([self.name, *found])} cannot stand together", self.hint)

    def schema(self) -> dict[str, Any]:
        """Return that not both are set."""
        others = [_is_set_schema(other) for other in self.others]
        return {"not": {"allOf": [_is_set_schema(self.name), {"anyOf": others}]}}


@dataclass(frozen=True)
class AtLeastOne:
    """Fields of which one must be set.

    :param names: the fields.
    :param hint: what to write.
    :param at: the field to report it at; the whole part when empty.
    :param message: what is told.
    """

    names: tuple[str, ...]
    hint: str
    at: str = ""
    message: str = REQUIRED
    partial: bool = False

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield one error when none is set."""
        if not any(is_set(data, name) for name in self.names):
            yield (self.at,) if self.at else (), mistake(self.message, self.hint, absent=True)

    def schema(self) -> dict[str, Any]:
        """Return that one is set."""
        return {"anyOf": [_is_set_schema(name) for name in self.names]}


@dataclass(frozen=True)
class Needs:
    """A field that needs another.

    :param name: the field.
    :param other: what it needs.
    :param message: what is told when that is missing.
    :param hint: what to write.
    """

    name: str
    other: str
    message: str
    hint: str
    partial: bool = False

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield one error when the field stands alone."""
        if is_set(data, self.name) and not is_set(data, self.other):
            yield (self.name,), mistake(self.message, self.hint, absent=True)

    def schema(self) -> dict[str, Any]:
        """Return that the other is set, or neither."""
        return {"if": _is_set_schema(self.name), "then": _is_set_schema(self.other)}
