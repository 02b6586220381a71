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
"""YAML text → document, with the line of every key, every duplicate key found, and a bound on what it costs.

Plain scalars are typed as Go's YAML decoder types them, because the command line of the platform reads the
same files with it: ``1e-3`` is a number, ``yes`` and ``on`` are text, ``0o17`` and ``017`` are fifteen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from airflow.providers.databricks_air.run.document.nodes import (
    MAX_CHARACTERS,
    Budget,
    Entry,
    ListNode,
    MapNode,
    Node,
    Origin,
    Scalar,
    path_text,
)
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["read_scalar", "read_yaml", "resolve"]

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CORE = "tag:yaml.org,2002:"
_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F_]+)|0[bB]([01_]+)|0[oO]?([0-7_]+)|([0-9][0-9_]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_LONGEST_NUMBER = 400


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of a plain (unquoted) scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in "0123456789+-." and len(text) <= _LONGEST_NUMBER:
        return _number(text)
    return text


def _number(text: str) -> str | int | float:
    if match := _INTEGER.match(text):
        sign, *digits = match.groups()
        for value, base in zip(digits, (16, 2, 8, 10), strict=True):
            if value and value.strip("_"):
                return int(sign + value.replace("_", ""), base)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    if match := _SPECIAL.match(text):
        return float(f"{match[1]}inf")
    return float("nan") if text in (".nan", ".NaN", ".NAN") else text


def read_yaml(
    text: str | bytes, file: str | None = None, budget: Budget | None = None
) -> tuple[Node | None, list[FieldError]]:
    """Read one YAML document.

    :param text: the document, UTF-8 with or without a byte order mark, at most 1 MiB.
    :param file: the file name for errors and origins.
    :param budget: what may still be spent; a fresh budget when None.
    :returns: the document (None when it is empty) and every duplicate key.
    :raises ConfigError: when it is not exactly one well-formed document of plain data, or too large.
    """
    data = _utf8(text, file)
    reader = _Reader(file, budget or Budget())
    try:
        node = reader.read(_Parser(data))
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_error(error, data, file)]) from None
    except ValueError as error:  # the pure Python parser raises it for broken escapes such as "\UFFFFFFFF"
        raise ConfigError([FieldError("", f"not valid YAML: {error}", file=file)]) from None
    return node, reader.mistakes


def read_scalar(text: str, origin: Origin) -> Node:
    """Read one value from a command line: ``8``, ``[a, b]``, ``{x: 1}``; empty is null.

    :raises ConfigError: when *text* is not valid YAML.
    """
    node, mistakes = read_yaml(text, origin.file)
    if mistakes:
        raise ConfigError(mistakes)
    node = node or Scalar(None, "")
    _relocate(node, origin)
    return node


def _relocate(node: Node, origin: Origin) -> None:
    node.origin = origin
    if isinstance(node, MapNode):
        for entry in node.entries.values():
            entry.origin = origin
            _relocate(entry.node, origin)
    elif isinstance(node, ListNode):
        for item in node.items:
            _relocate(item, origin)


def _utf8(text: str | bytes, file: str | None) -> bytes:
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
        if len(data) > MAX_CHARACTERS:
            message = f"the document has {len(data)} bytes, the limit is {MAX_CHARACTERS}"
            raise ConfigError([FieldError("", message, "Keep large data in a file of the code source", file)])
        if isinstance(text, bytes):
            data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([FieldError("", "not valid UTF-8", "Save the file as UTF-8", file, line)]) from None
    except UnicodeEncodeError:
        message = "the text holds half of a surrogate pair, which is not valid Unicode"
        raise ConfigError([FieldError("", message, file=file)]) from None
    return data.removeprefix(b"\xef\xbb\xbf")


def _syntax_error(error: yaml.YAMLError, data: bytes, file: str | None) -> FieldError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = (
        getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    )
    context = getattr(error, "context", None)
    column = f" (column {mark.column + 1})" if mark else ""
    message = f"not valid YAML: {f'{context}, ' if context else ''}{problem}{column}"
    source = data.splitlines()[mark.line : mark.line + 1] if mark else []
    tab = bool(source) and source[0].lstrip(b" ").startswith(b"\t")
    hint = "Indent with spaces; YAML does not allow tabs there" if tab else ""
    return FieldError("", message, hint, file, mark.line + 1 if mark else None)


class _Reader:
    """Composes the nodes of one document from parser events."""

    def __init__(self, file: str | None, budget: Budget) -> None:
        self.file = file
        self.mistakes: list[FieldError] = []
        self.budget = budget
        budget.file = file
        self.trail: list[str | int] = []
        # anchor → node and what an alias to it costs (values, characters)
        self.anchors: dict[str, tuple[Node, int, int]] = {}

    def read(self, parser: Any) -> Node | None:
        self.events: Iterator[Any] = iter(parser.get_event, None)
        node: Node | None = None
        documents = 0
        try:
            for event in self.events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(
                            "the file holds more than one document", "Keep one document per file", event
                        )
                elif isinstance(event, yaml.NodeEvent):
                    node = self._node(event, 0)
        finally:
            parser.dispose()
        if isinstance(node, Scalar) and node.value is None:
            return None
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        self.budget.check_depth(depth, line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        values, characters = self.budget.values, self.budget.characters
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, Origin(self.file, line))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, depth, Origin(self.file, line))
        else:
            node = self._mapping(event, depth, Origin(self.file, line))
        if event.anchor:
            self.anchors[event.anchor] = (
                node,
                self.budget.values - values,
                self.budget.characters - characters,
            )
        return node

    def _alias(self, event: Any, line: int) -> Node:
        known = self.anchors.get(event.anchor)
        if known is None:
            self._refuse(f"the alias *{event.anchor} has no anchor &{event.anchor} before it", "", event)
            raise AssertionError
        node, values, characters = known
        self.budget.spend(values, characters, line)
        return node

    def _scalar(self, event: Any, origin: Origin) -> Scalar:
        text = event.value
        self.budget.spend(1, len(text), origin.line)
        if event.tag is None or event.tag == "!":
            plain = event.implicit[0] and not event.style
            return Scalar(resolve(text) if plain else text, text, origin)
        if event.tag == f"{_CORE}str":
            return Scalar(text, text, origin)
        value = resolve(text)
        if event.tag == f"{_CORE}float" and isinstance(value, int):
            value = float(value)
        if event.tag != f"{_CORE}{_kind(value)}":
            self._refuse(f"{text[:40]!r} cannot be read with the tag {event.tag}", "Remove the tag", event)
        return Scalar(value, text, origin)

    def _list(self, event: Any, depth: int, origin: Origin) -> ListNode:
        self._check_tag(event, "seq")
        self.budget.spend(1, 0, origin.line)
        items: list[Node] = []
        for item in self.events:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            self.trail.append(len(items))
            items.append(self._node(item, depth + 1))
            self.trail.pop()
        return ListNode(items, origin)

    def _mapping(self, event: Any, depth: int, origin: Origin) -> MapNode:
        self._check_tag(event, "map")
        self.budget.spend(1, 0, origin.line)
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        for key_event in self.events:
            if isinstance(key_event, yaml.MappingEndEvent):
                break
            key = self._key(key_event, depth)
            self.trail.append(key.text)
            value = self._node(next(self.events), depth + 1)
            self.trail.pop()
            if key.text == "<<" and not key_event.style:
                merged.extend(self._merge_sources(value, key_event))
            else:
                self._add(entries, key, value)
        for source in merged:
            for text, entry in source.entries.items() if isinstance(source, MapNode) else ():
                entries.setdefault(text, entry)
        return MapNode(entries, origin)

    def _key(self, event: Any, depth: int) -> Scalar:
        key = self._node(event, depth + 1)
        if not isinstance(key, Scalar):
            self._refuse(
                "a key must be text, not a list or a mapping", "Quote it if it begins with [ or {", event
            )
            raise AssertionError
        return key

    def _add(self, entries: dict[str, Entry], key: Scalar, value: Node) -> None:
        first = entries.get(key.text)
        if first is not None:
            path = path_text([*self.trail, key.text])
            lines = f"lines {first.origin.line} and {key.origin.line}"
            self.mistakes.append(
                FieldError(
                    path, f"the key appears twice, on {lines}", "Keep one of them", self.file, key.origin.line
                )
            )
            return
        number = type(key.value) is int and str(key.value) == key.text
        entries[key.text] = Entry(int(key.text) if number else key.text, value, key.origin)

    def _merge_sources(self, value: Node, event: Any) -> list[Node]:
        sources: list[Node] = list(value.items) if isinstance(value, ListNode) else [value]
        if not all(isinstance(source, MapNode) for source in sources):
            self._refuse("<< takes a mapping or a list of mappings", "Write <<: *anchor", event)
        return sources

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", f"{_CORE}{kind}"):
            self._refuse(f"the tag {event.tag} is not supported", "Remove the tag", event)

    def _refuse(self, message: str, hint: str, event: Any) -> None:
        raise ConfigError([FieldError("", message, hint, self.file, event.start_mark.line + 1)])


def _kind(value: object) -> str:
    kinds = {bool: "bool", int: "int", float: "float", type(None): "null"}
    return kinds.get(type(value), "str")
