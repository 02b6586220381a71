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
"""The document that a conversion fills, and what it leaves behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.run.config.schema.fields import root
from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.document.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Scalar,
    plain,
)
from airflow.providers.databricks_air.run.document.paths import path_text
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.document.writer import write_yaml

__all__ = ["Conversion", "Draft", "Note", "text_of"]


@dataclass(frozen=True)
class Note:
    """Something that the author must know about a conversion.

    :param path: the field in the source.
    :param value: the value in the source as YAML; empty when it was carried over.
    :param advice: what became of it, or what to do.
    :param line: the line in the source, where known.
    :param file: the file that the line is in: the source, or one of its bases.
    """

    path: str
    value: str
    advice: str
    line: int | None = None
    file: str | None = None

    @property
    def lost(self) -> bool:
        """Whether the value has no counterpart."""
        return bool(self.value)


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    :param text: the document in today's form; its comments tell what was not carried over.
    :param notes: what the author must know, in source order.
    """

    text: str
    notes: tuple[Note, ...]


def text_of(node: Node | None) -> str:
    """Return the text of a scalar, or nothing."""
    return node.text.strip() if isinstance(node, Scalar) and node.value is not None else ""


class Draft:
    """Today's form of a document while it is being filled.

    :param source: the name of the source file, for the comments.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.document = MapNode({})
        self.notes: list[Note] = []
        self._beside: dict[str, str] = {}

    def set(self, path: str, value: Any) -> None:
        """Put *value*, a node or plain data, at the dotted *path*."""
        *parents, last = path.split(".")
        here = self.document
        for name in parents:
            inner = here.get(name)
            if not isinstance(inner, MapNode):
                inner = MapNode({})
                here.entries[name] = Entry(name, inner)
            here = inner
        node = value if isinstance(value, Scalar | MapNode | ListNode) else from_python(value)
        if isinstance(node, MapNode):
            # The source may use the same node elsewhere, through an alias.
            node = MapNode(dict(node.entries), node.origin)
        here.entries[last] = Entry(last, node)

    def get(self, path: str) -> Node | None:
        """Return what stands at the dotted *path*."""
        here: Node | None = self.document
        for name in path.split("."):
            here = here.get(name) if isinstance(here, MapNode) else None
        return here

    def add(self, target: str, path: tuple[str | int, ...], node: Node) -> None:
        """Put *node* at *target*, or note it as lost when something else stands there already."""
        known = self.get(target)
        if known is None:
            self.set(target, node)
        elif plain(known) != plain(node):
            self.lose(path, node, f"{target} has another value already, which was kept")

    def lose(self, path: tuple[str | int, ...], node: Node, advice: str) -> None:
        """Note a value that has no counterpart."""
        value = write_yaml(node).rstrip("\n")
        if not isinstance(node, Scalar):
            value = f"\n{value}"
        self.notes.append(Note(path_text(path), value, advice, node.origin.line, node.origin.file))

    def tell(self, path: tuple[str | int, ...], node: Node, advice: str) -> None:
        """Note what became of a value."""
        self.notes.append(Note(path_text(path), "", advice, node.origin.line, node.origin.file))

    def tell_beside(self, target: str, path: tuple[str | int, ...], node: Node, advice: str) -> None:
        """Note what became of a value, and say so behind the line of *target* in the result."""
        self.tell(path, node, advice)
        self._beside[target.rpartition(".")[2]] = advice

    def finish(self) -> Conversion:
        """Return the document in the order of the reference, with its comments."""
        notes = tuple(sorted(self.notes, key=lambda note: note.line or 0))
        order = {name: place for place, name in enumerate(root().children)}
        names = sorted(self.document.entries, key=lambda name: order.get(name, len(order)))
        body = write_yaml(MapNode({name: self.document.entries[name] for name in names}))
        for name, advice in self._beside.items():
            # The accelerators stand above everything that may have names of its own.
            body = re.sub(
                rf"^(\s+{name}: .*)$", rf"\1  # {one_line(advice)}", body, count=1, flags=re.MULTILINE
            )
        return Conversion("".join(f"{line}\n" for line in self._comments(notes)) + body, notes)

    def _comments(self, notes: tuple[Note, ...]) -> list[str]:
        lines = [f"# Converted from {self.source}."]
        for title, lost in (("Not carried over:", True), ("To check:", False)):
            chosen = [note for note in notes if note.lost is lost]
            if chosen:
                lines += ["#", f"# {title}"]
            for note in chosen:
                head, *rest = _source_lines(note)
                lines += [f"# - {head}", *(f"#     {line}" for line in rest), f"#     → {note.advice}"]
        # A text that breaks a line would end the comment that it stands in.
        return [one_line(line).rstrip() for line in lines]


def _source_lines(note: Note) -> list[str]:
    """Return the lines that show the source of a note."""
    if not note.value:
        return [note.path]
    first, *rest = note.value.split("\n")
    return [f"{note.path}: {first}".rstrip(), *rest]
