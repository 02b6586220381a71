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
"""Overrides: single values of a document replaced by path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Node, Origin
from airflow.providers.databricks_air.run.document.paths import FieldPath, parse_path, path_text
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.document.reader import read_scalar
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["OVERRIDE", "apply_overrides"]

#: What stands for the file name of a value that comes from an override.
OVERRIDE = "override"

_ORIGIN = Origin(OVERRIDE)


def apply_overrides(
    document: MapNode,
    overrides: Mapping[str, Any] | Sequence[str] | None,
    find: Callable[[FieldPath], FieldPath],
) -> tuple[MapNode, list[FieldError]]:
    """Return *document* with every override applied, in order, and the overrides that could not be.

    :param overrides: ``{"compute.num_accelerators": 16}``, or ``["compute.num_accelerators=16"]`` where
        the part behind the first ``=`` is YAML.
    :param find: returns a path with the positions in lists as numbers, and raises :class:`ConfigError` where
        the schema has no such field.
    """
    mistakes: list[FieldError] = []
    for key, value in _pairs(overrides, mistakes):
        try:
            path = find(parse_path(key.strip()))
            node = (
                read_scalar(value.text, _ORIGIN) if isinstance(value, _Raw) else from_python(value, _ORIGIN)
            )
            changed = _replaced(document, path, node, ())
        except ConfigError as error:
            mistakes.extend(_named(key, item) for item in error.errors)
        else:
            assert isinstance(changed, MapNode)
            document = changed
    return document, mistakes


class _Raw:
    """The text of a value on a command line."""

    def __init__(self, text: str) -> None:
        self.text = text


def _pairs(overrides: object, mistakes: list[FieldError]) -> Iterator[tuple[str, Any]]:
    if overrides is None:
        return
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            yield str(key), value
    elif isinstance(overrides, Sequence) and not isinstance(overrides, str | bytes):
        for token in overrides:
            pair = _split(token, mistakes)
            if pair:
                yield pair
    else:
        hint = 'Write {"compute.num_accelerators": 16} or ["compute.num_accelerators=16"]'
        mistakes.append(
            FieldError("", f"overrides must be a mapping or a list, not {show(overrides)}", hint, OVERRIDE)
        )


def _split(token: object, mistakes: list[FieldError]) -> tuple[str, _Raw] | None:
    text = token if isinstance(token, str) else ""
    key, equals, value = text.partition("=")
    if equals and key.strip():
        return key.strip(), _Raw(value)
    hint = "Write KEY=VALUE, such as compute.num_accelerators=16"
    if text.endswith((".yaml", ".yml")):
        hint += "; the file itself is not an override"
    mistakes.append(FieldError("", f"{show(token)} is not an override", hint, OVERRIDE))
    return None


def _named(key: str, error: FieldError) -> FieldError:
    return FieldError(key.strip() or error.path, error.message, error.hint, OVERRIDE)


def _replaced(node: Node | None, path: FieldPath, value: Node, done: FieldPath) -> Node:
    """Return *node* with *value* at *path*; what is missing on the way is made. *node* stays as it is."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(node, ListNode) or (node is None and isinstance(part, int)):
        return _replaced_item(node or ListNode([], _ORIGIN), part, rest, (value, done))
    if not isinstance(node, MapNode):
        node = MapNode({}, _ORIGIN)
    key = str(part)
    inner = _replaced(node.get(key), rest, value, (*done, part))
    return node.with_entry(key, inner, inner.origin if rest else _ORIGIN)


def _replaced_item(
    node: ListNode, part: str | int, rest: FieldPath, target: tuple[Node, FieldPath]
) -> ListNode:
    value, done = target
    if isinstance(part, str) and not part.isdecimal():
        where = path_text(done)
        hint = f"Write {where}[0] for the first item"
        raise ConfigError([FieldError(where, f"{where} is a list, {show(part)} is not a position", hint)])
    index, items = int(part), list(node.items)
    if index > len(items):
        count = f"{len(items)} item{'s' if len(items) != 1 else ''}"
        hint = f"Positions count from 0; {len(items)} appends one"
        raise ConfigError([FieldError(path_text((*done, index)), f"the list has {count}", hint)])
    inner = _replaced(items[index] if index < len(items) else None, rest, value, (*done, index))
    items[index : index + 1] = [inner]
    return ListNode(items, node.origin)
