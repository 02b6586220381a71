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
"""YAML text → nodes with the author's text and line.

PyYAML composes; plain scalars are typed here as Go's YAML library types them, because the command line of the
platform reads the same files with it: ``1e-3`` is a number, ``yes`` and ``on`` are text, ``0o17`` and ``017``
are fifteen.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from airflow.providers.databricks_air.run.document.limits import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    Budget,
    too_large,
)
from airflow.providers.databricks_air.run.document.nodes import Entry, ListNode, MapNode, Node, Origin, Scalar
from airflow.providers.databricks_air.run.document.paths import path_text
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["has_comments", "read_scalar", "read_yaml", "resolve"]

_CORE = "tag:yaml.org,2002:"
_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F_]+)|0[bB]([01_]+)|0[oO]?([0-7_]+)|([0-9][0-9_]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_LONGEST_NUMBER = 400
_TAGS = {bool: "bool", int: "int", float: "float", type(None): "null", str: "str"}


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
    budget = budget or Budget()
    budget.file = file
    reader = _Reader(file, budget)
    return reader.read(_utf8(text, file)), reader.mistakes


def read_scalar(text: str, origin: Origin) -> Node:
    """Read one value from a command line: ``8``, ``[a, b]``, ``{x: 1}``; empty is null.

    :raises ConfigError: when *text* is not valid YAML.
    """
    reader = _Reader(origin.file, Budget(origin.file), origin)
    node = reader.read(_utf8(text, origin.file))
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return node or Scalar(None, "", origin)


def has_comments(text: str | bytes) -> bool:
    """Return whether a document has comments; ``#!/bin/bash`` in a script is none.

    :param text: a document that can be read.
    """
    source = _utf8(text, None).decode()
    # PyYAML reports no comments: they are what is left beside the values.
    events: Any = yaml.parse(source, Loader=yaml.SafeLoader)
    spans = [(event.start_mark.index, event.end_mark.index) for event in events if hasattr(event, "style")]
    rest, position = "", 0
    for start, end in spans:
        rest += source[position:start] + "x"
        # The head of a block of lines may have a comment of its own.
        head = source[start:end].partition("\n")[0] if source[start : start + 1] in ("|", ">") else ""
        rest += head
        position = end
    return re.search(r"(^|\s)#", rest + source[position:], re.MULTILINE) is not None


def _utf8(text: str | bytes, file: str | None) -> bytes:
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
        if len(data) > MAX_BYTES:
            raise ConfigError([too_large("the document", len(data), file)])
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
    hint = ""
    if source and source[0].lstrip(b" ").startswith(b"\t"):
        hint = "Indent with spaces; YAML does not allow tabs there"
    elif problem == "but found another document":
        hint = "Keep one document per file"
    return FieldError("", message, hint, file, mark.line + 1 if mark else None)


_Composer: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The tag of a scalar that is text whatever it looks like: quoted, or behind a lone ``!``.
_TEXT = ""


class _Composition(_Composer):  # type: ignore[misc]  # libyaml's parser has no types
    """PyYAML's composer; it keeps the author's tags, and stops where a document gets too deep or too large."""

    def __init__(self, data: bytes, file: str | None) -> None:
        super().__init__(data)
        self._file = file
        self._depth = -1
        self._nodes = 0

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """Count a node before it is composed: composing recurses, and costs memory for every node."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_VALUES:
            line = parent.start_mark.line + 1
            budget = Budget(self._file)
            budget.check_depth(self._depth, line)
            budget.spend(self._nodes, 0, line)

    def ascend_resolver(self) -> None:
        """Leave a node."""
        self._depth -= 1

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str | None:
        """Return the tag of a node that has none: None for a plain scalar, which is typed by its text."""
        return None if kind is not yaml.ScalarNode or implicit[0] else _TEXT


class _Reader:
    """Turns the nodes of one document into ours.

    :param file: the file name for errors and origins.
    :param budget: what may still be spent.
    :param origin: the place of everything that is read; its own line when None.
    """

    def __init__(self, file: str | None, budget: Budget, origin: Origin | None = None) -> None:
        self.file = file
        self.budget = budget
        self.mistakes: list[FieldError] = []
        self._origin = origin
        self._trail: list[str | int] = []
        # node of PyYAML → ours, and what an alias to it costs (values, characters, levels); None inside itself
        self._has_aliases = False
        self._known: dict[Any, tuple[Node, int, int, int] | None] = {}

    def read(self, data: bytes) -> Node | None:
        """Return the document in *data*, or None when it is empty."""
        self._has_aliases = b"*" in data
        composition = None
        try:
            composition = _Composition(data, self.file)
            composed = composition.get_single_node()
        except yaml.YAMLError as error:
            raise ConfigError([_syntax_error(error, data, self.file)]) from None
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            # The pure Python parser raises it for broken escapes such as "\UFFFFFFFF".
            raise ConfigError([FieldError("", f"not valid YAML: {error}", file=self.file)]) from None
        finally:
            if composition is not None:
                composition.dispose()
        node = None if composed is None else self._node(composed, 0)
        return None if isinstance(node, Scalar) and node.value is None else node

    def _node(self, found: Any, depth: int) -> Node:
        if not self._has_aliases:
            return self._fresh(found, depth)
        if found in self._known:
            return self._alias(found, depth)
        values, characters = self.budget.values, self.budget.characters
        self._known[found] = None
        node = self._fresh(found, depth)
        levels = 0 if isinstance(node, Scalar) else 1 + self._levels_below(found)
        self._known[found] = (node, self.budget.values - values, self.budget.characters - characters, levels)
        return node

    def _fresh(self, found: Any, depth: int) -> Node:
        origin = self._origin or Origin(self.file, found.start_mark.line + 1)
        if type(found) is yaml.ScalarNode:
            return self._scalar(found, origin)
        listed = type(found) is yaml.SequenceNode
        if found.tag is not None and found.tag not in ("!", f"{_CORE}seq" if listed else f"{_CORE}map"):
            self._refuse(f"the tag {found.tag} is not supported", "Remove the tag", found)
        self.budget.spend(1, 0, origin.line)
        return self._list(found, depth, origin) if listed else self._mapping(found, depth, origin)

    def _levels_below(self, found: Any) -> int:
        inner = found.value if type(found) is yaml.SequenceNode else [value for _, value in found.value]
        return max(((self._known[item] or (None, 0, 0, 0))[3] for item in inner), default=0)

    def _alias(self, found: Any, depth: int) -> Node:
        known, line = self._known[found], found.start_mark.line + 1
        if known is None:
            self._refuse("an alias repeats what holds it", "Remove the alias", found)
        node, values, characters, levels = known
        self.budget.check_depth(depth + levels, line)
        self.budget.spend(values, characters, line)
        return node

    def _scalar(self, found: Any, origin: Origin) -> Scalar:
        text, tag = found.value, found.tag
        self.budget.spend(1, len(text), origin.line)
        if tag is None:
            return Scalar(resolve(text), text, origin)
        if tag in (_TEXT, "!", f"{_CORE}str"):
            return Scalar(text, text, origin)
        value = resolve(text)
        if tag == f"{_CORE}float" and isinstance(value, int):
            value = float(value)
        if tag != f"{_CORE}{_TAGS[type(value)]}":
            self._refuse(f"{text[:40]!r} cannot be read with the tag {tag}", "Remove the tag", found)
        return Scalar(value, text, origin)

    def _list(self, found: Any, depth: int, origin: Origin) -> ListNode:
        items: list[Node] = []
        for item in found.value:
            self._trail.append(len(items))
            items.append(self._node(item, depth + 1))
            self._trail.pop()
        return ListNode(items, origin)

    def _mapping(self, found: Any, depth: int, origin: Origin) -> MapNode:
        entries: dict[str, Entry] = {}
        merged: list[MapNode] = []
        for name, content in found.value:
            key = self._node(name, depth + 1)
            if not isinstance(key, Scalar):
                self._refuse(
                    "a key must be text, not a list or a mapping", "Quote it if it begins with [ or {", name
                )
            self._trail.append(key.text)
            value = self._node(content, depth + 1)
            self._trail.pop()
            if key.text == "<<" and name.tag is None:
                merged.extend(self._merge_sources(value, name))
            else:
                self._add(entries, key, value)
        for source in merged:
            for text, entry in source.entries.items():
                entries.setdefault(text, entry)
        return MapNode(entries, origin)

    def _add(self, entries: dict[str, Entry], key: Scalar, value: Node) -> None:
        first = entries.get(key.text)
        if first is None:
            number = type(key.value) is int and str(key.value) == key.text
            entries[key.text] = Entry(int(key.text) if number else key.text, value, key.origin)
            return
        path = path_text([*self._trail, key.text])
        message = f"the key appears twice, on lines {first.origin.line} and {key.origin.line}"
        self.mistakes.append(FieldError(path, message, "Keep one of them", self.file, key.origin.line))

    def _merge_sources(self, value: Node, name: Any) -> list[MapNode]:
        sources = value.items if isinstance(value, ListNode) else [value]
        found = [source for source in sources if isinstance(source, MapNode)]
        if len(found) != len(sources):
            self._refuse("<< takes a mapping or a list of mappings", "Write <<: *anchor", name)
        return found

    def _refuse(self, message: str, hint: str, found: Any) -> NoReturn:
        raise ConfigError([FieldError("", message, hint, self.file, found.start_mark.line + 1)])
