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
"""Plain Python data ↔ nodes of a document."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from airflow.providers.databricks_air.run.document.limits import Budget
from airflow.providers.databricks_air.run.document.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Origin,
    Scalar,
)
from airflow.providers.databricks_air.run.document.paths import FieldPath, path_text
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["from_python", "map_texts", "scalar_text"]

#: Python refuses to print longer integers, and no field needs them.
_MAX_INTEGER_BITS = 4096

_NOWHERE = Origin()


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


def from_python(
    value: Any, origin: Origin = _NOWHERE, path: FieldPath = (), budget: Budget | None = None
) -> Node:
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


def _python_mapping(value: Mapping[Any, Any], origin: Origin, path: FieldPath, budget: Budget) -> MapNode:
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


def _python_entry(key: Any, value: Any, origin: Origin, path: FieldPath, budget: Budget) -> Entry:
    scalar = _python_scalar(key, origin, path)
    if not isinstance(scalar.value, str | int) or isinstance(scalar.value, bool):
        scalar.value = scalar.text
    budget.spend(0, len(scalar.text))
    return Entry(scalar.value, from_python(value, origin, (*path, scalar.text), budget), origin)


def _python_scalar(value: Any, origin: Origin, path: FieldPath) -> Scalar:
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


def _checked_text(value: str, origin: Origin, path: FieldPath) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "the text holds half of a surrogate pair, which is not valid Unicode"
        raise ConfigError([FieldError(path_text(path), message, file=origin.file)]) from None
    return text
