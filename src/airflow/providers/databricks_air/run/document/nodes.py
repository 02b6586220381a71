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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Entry", "ListNode", "MapNode", "Node", "Origin", "Scalar", "locate", "plain"]


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

    def with_entry(self, key: str, node: Node, origin: Origin | None = None) -> MapNode:
        """Return a copy with *node* under *key*.

        :param origin: the place of the key; that of the key before, or of the node, when None.
        """
        known = self.entries.get(key)
        place = origin or (known.origin if known else node.origin)
        return MapNode({**self.entries, key: Entry(known.key if known else key, node, place)}, self.origin)

    def without(self, *keys: str) -> MapNode:
        """Return a copy without *keys*."""
        return MapNode({key: entry for key, entry in self.entries.items() if key not in keys}, self.origin)


@dataclass(slots=True)
class ListNode:
    """A list."""

    items: list[Node]
    origin: Origin = _NOWHERE


Node: TypeAlias = "Scalar | MapNode | ListNode"


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
