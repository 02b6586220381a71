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
"""A configuration as it was written: values that remember their text and the line they stand on."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_VALUES",
    "Budget",
    "Entry",
    "ListNode",
    "MapNode",
    "Node",
    "Origin",
    "Path",
    "Scalar",
    "from_python",
    "locate",
    "map_texts",
    "one_line",
    "path_text",
    "plain",
    "scalar_text",
]

#: What one document may hold after aliases and bases are expanded. The AIR client refuses an effective
#: document over 1 MiB; the other two keep memory and time small whatever the input.
MAX_CHARACTERS = 1024 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 64

#: Python refuses to print longer integers, and no field needs them.
_MAX_INTEGER_BITS = 4096

_SHOWN = 300

Path: TypeAlias = "tuple[str | int, ...]"


class Origin(NamedTuple):
    """Where a value comes from: a file (or ``override``) and a line counted from 1, as far as known."""

    file: str | None = None
    line: int | None = None


_NOWHERE = Origin()


@dataclass(slots=True)
class Scalar:
    """One value and the text that the author wrote for it."""

    value: str | int | float | bool | None
    text: str
    origin: Origin = _NOWHERE


@dataclass(slots=True)
class Entry:
    """A key of a mapping, with its value and the place of the key."""

    key: str | int
    node: Node
    origin: Origin = _NOWHERE


@dataclass(slots=True)
class MapNode:
    """A mapping in source order, by the text of its keys."""

    entries: dict[str, Entry]
    origin: Origin = _NOWHERE

    def get(self, key: str) -> Node | None:
        """Return the value under *key*, or None."""
        entry = self.entries.get(key)
        return entry.node if entry else None


@dataclass(slots=True)
class ListNode:
    """A list."""

    items: list[Node]
    origin: Origin = _NOWHERE


Node: TypeAlias = "Scalar | MapNode | ListNode"


class Budget:
    """Counts what a document holds and refuses one that holds too much.

    :param file: the file to name in the error.
    """

    def __init__(self, file: str | None = None) -> None:
        self.file = file
        self.values = 0
        self.characters = 0

    def spend(self, values: int, characters: int, line: int | None = None) -> None:
        """Count *values* and *characters*; raise :class:`ConfigError` when the document gets too large."""
        self.values += values
        self.characters += characters
        if self.values > MAX_VALUES:
            self._refuse(
                f"the document has more than {MAX_VALUES} values when its aliases are expanded", line
            )
        if self.characters > MAX_CHARACTERS:
            self._refuse(
                f"the document is larger than {MAX_CHARACTERS} bytes when its aliases are expanded", line
            )

    def check_depth(self, depth: int, line: int | None = None) -> None:
        """Raise :class:`ConfigError` when a value is nested too deeply."""
        if depth > MAX_DEPTH:
            self._refuse(f"values are nested more than {MAX_DEPTH} levels deep", line)

    def _refuse(self, message: str, line: int | None) -> None:
        hint = "Keep large or nested data in a file of the code source"
        raise ConfigError([FieldError("", message, hint, self.file, line)])


def scalar_text(value: str | int | float | bool | None) -> str:
    """Return how *value* is written in YAML."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _float_text(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 readers, PyYAML in the training script for one, take `1e-05` for text but not `1.0e-05`.
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else text


def from_python(value: Any, origin: Origin = _NOWHERE, path: Path = (), budget: Budget | None = None) -> Node:
    """Return plain Python data as a document.

    :param value: mappings, sequences, texts, numbers, dates, booleans and None, nested.
    :param origin: where the data comes from.
    :param path: the place of *value* in its document, for errors.
    :param budget: what may still be spent; a fresh budget when None.
    :raises ConfigError: when a value of another type is found, or the data is too large or refers to itself.
    """
    budget = budget or Budget(origin.file)
    budget.check_depth(len(path))
    if isinstance(value, Mapping):
        budget.spend(1, 0)
        return _python_mapping(value, origin, path, budget)
    if _is_list(value):
        budget.spend(1, 0)
        return ListNode(
            [from_python(item, origin, (*path, index), budget) for index, item in enumerate(value)], origin
        )
    scalar = _python_scalar(value, origin, path)
    budget.spend(1, len(scalar.text))
    return scalar


def map_texts(node: Node, change: Callable[[str], Any]) -> Node:
    """Return a document with other texts; keys and what is no text stay as they are.

    :param node: the document.
    :param change: returns what to put in the place of a text.
    """
    if isinstance(node, MapNode):
        entries = {
            text: Entry(entry.key, map_texts(entry.node, change), entry.origin)
            for text, entry in node.entries.items()
        }
        return MapNode(entries, node.origin)
    if isinstance(node, ListNode):
        return ListNode([map_texts(item, change) for item in node.items], node.origin)
    if not isinstance(node.value, str):
        return node
    changed = change(node.value)
    return node if changed == node.value else from_python(changed, node.origin)


def _python_mapping(value: Mapping[Any, Any], origin: Origin, path: Path, budget: Budget) -> MapNode:
    entries: dict[str, Entry] = {}
    for key, item in value.items():
        entry = _python_entry(key, item, origin, path, budget)
        if str(entry.key) in entries:
            message = f"two keys have the same text {str(entry.key)!r}"
            raise ConfigError([FieldError(path_text(path), message, "Keep one of them", origin.file)])
        entries[str(entry.key)] = entry
    return MapNode(entries, origin)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _python_entry(key: Any, value: Any, origin: Origin, path: Path, budget: Budget) -> Entry:
    scalar = _python_scalar(key, origin, path)
    if not isinstance(scalar.value, str | int) or isinstance(scalar.value, bool):
        scalar.value = scalar.text
    budget.spend(0, len(scalar.text))
    return Entry(scalar.value, from_python(value, origin, (*path, scalar.text), budget), origin)


def _python_scalar(value: Any, origin: Origin, path: Path) -> Scalar:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dt.date | dt.time):
        value = value.isoformat()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif not isinstance(value, str | bool | None) and isinstance(value, numbers.Number):
        value = _python_number(value)
    if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
        raise ConfigError([FieldError(path_text(path), "the number is too large", file=origin.file)])
    if isinstance(value, str):
        value = _checked_text(value, origin, path)
    elif not isinstance(value, bool | int | float | None):
        message = f"a value of type {type(value).__name__} cannot be written in YAML"
        hint = "Use text, a number, true or false, a list or a mapping"
        raise ConfigError([FieldError(path_text(path), message, hint, origin.file)])
    return Scalar(value, scalar_text(value), origin)


def _python_number(value: Any) -> Any:
    """Return a number of any library (numpy for one) as Python's own."""
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _checked_text(value: str, origin: Origin, path: Path) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "the text holds half of a surrogate pair, which is not valid Unicode"
        raise ConfigError([FieldError(path_text(path), message, file=origin.file)]) from None
    return text


def plain(node: Node) -> Any:
    """Return a document as plain Python data."""
    if isinstance(node, MapNode):
        return {entry.key: plain(entry.node) for entry in node.entries.values()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def locate(node: Node, path: Iterable[str | int]) -> Origin:
    """Return the place of *path* in *node*, or that of the nearest thing around it that exists."""
    origin = node.origin
    for part in path:
        if isinstance(node, MapNode) and str(part) in node.entries:
            entry = node.entries[str(part)]
            node, origin = entry.node, entry.origin
        elif isinstance(node, ListNode) and isinstance(part, int) and 0 <= part < len(node.items):
            node = node.items[part]
            origin = node.origin
        else:
            break
    return origin


def path_text(path: Iterable[str | int]) -> str:
    """Return a path as people write it, on one line: ``permissions[0].level``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = one_line(part if len(part) <= _SHOWN else f"{part[:_SHOWN]}…")
            text += f".{name}" if text else name
    return text


def one_line(text: str) -> str:
    """Return *text* on one line: as it is, or escaped when it holds what cannot be printed."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
