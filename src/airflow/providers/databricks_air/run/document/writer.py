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
"""Document → YAML text as the platform's own command line writes it: block style, four spaces, source order.

Every text that any YAML reader could take for something else is quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from airflow.providers.databricks_air.run.document.nodes import (
    ListNode,
    MapNode,
    Node,
    Scalar,
    from_python,
    plain,
)
from airflow.providers.databricks_air.run.document.reader import resolve

__all__ = ["dump_yaml", "write_yaml"]

_INDENT = 4
_SAFE = re.compile(
    r"[A-Za-z0-9_./$~+(\\^-][^\x00-\x1f\x7f-\xa0\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff:#]*\Z"
)
_PRINTABLE_LINES = re.compile(r"[\t\n\x20-\x7e\xa1-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*\Z")
_ESCAPED = re.compile(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
_YAML11: Any = yaml.resolver.Resolver.yaml_implicit_resolvers


def dump_yaml(value: Any, *, sort_keys: bool = False) -> str:
    """Return plain Python data as YAML.

    :param sort_keys: order the keys of every mapping by their text.
    :raises ConfigError: when *value* holds something that YAML cannot say.
    """
    node = from_python(value)
    return write_yaml(_sorted(node) if sort_keys else node)


def write_yaml(node: Node) -> str:
    """Return a document as YAML text with a line break at its end."""
    if isinstance(node, Scalar):
        return f"{_scalar(node, '')}\n"
    return "".join(f"{line}\n" for line in _block(node, ""))


def _sorted(node: Node) -> Node:
    if isinstance(node, ListNode):
        return ListNode([_sorted(item) for item in node.items], node.origin)
    if isinstance(node, MapNode):
        entries = {text: node.entries[text] for text in sorted(node.entries)}
        for text, entry in entries.items():
            entries[text] = type(entry)(entry.key, _sorted(entry.node), entry.origin)
        return MapNode(entries, node.origin)
    return node


def _block(node: MapNode | ListNode, indent: str) -> Iterator[str]:
    """Yield the lines of a collection."""
    if isinstance(node, MapNode):
        if not node.entries:
            yield f"{indent}{{}}"
        for entry in node.entries.values():
            key = str(entry.key) if isinstance(entry.key, int) else _text(entry.key, None)
            yield from _after(f"{indent}{key}:", entry.node, _deeper(indent))
    else:
        if not node.items:
            yield f"{indent}[]"
        for item in node.items:
            yield from _item(item, indent)


def _deeper(indent: str) -> str:
    """Return the next indent, a multiple of four also inside a list, whose dashes take two columns.

    This is what Go's YAML library writes, and with it the ``databricks`` command line.
    """
    return " " * ((len(indent) // _INDENT + 1) * _INDENT)


def _after(head: str, node: Node, indent: str) -> Iterator[str]:
    """Yield *head* and the value of *node* behind or below it."""
    if isinstance(node, Scalar):
        yield f"{head} {_scalar(node, indent)}"
    elif isinstance(node, MapNode) and not node.entries:
        yield f"{head} {{}}"
    elif isinstance(node, ListNode) and not node.items:
        yield f"{head} []"
    else:
        yield head
        yield from _block(node, indent)


def _item(node: Node, indent: str) -> Iterator[str]:
    """Yield one item of a list; a collection begins behind its dash."""
    if isinstance(node, Scalar):
        yield f"{indent}- {_scalar(node, indent + '  ')}"
        return
    lines = _block(node, indent + "  ")
    yield f"{indent}- {next(lines)[len(indent) + 2 :]}"
    yield from lines


def _scalar(node: Scalar, indent: str) -> str:
    if isinstance(node.value, str):
        return _text(node.value, indent)
    # The author's own text, so that it reads back as it was.
    return node.text if node.value is not None and _SAFE.match(node.text) else plain_text(node)


def plain_text(node: Scalar) -> str:
    """Return a value that is not text, in the words that every YAML reader knows."""
    fresh = from_python(plain(node))
    return fresh.text if isinstance(fresh, Scalar) else ""


def _text(value: str, indent: str | None) -> str:
    """Return a text: plain where that is safe, as a block of lines where there are several, else quoted.

    :param indent: where a block of lines stands; None where there may be none, in a key.
    """
    if _is_plain(value):
        return value
    if indent is not None and _is_block(value):
        chomp = "" if value.endswith("\n") else "-"
        lines = value.removesuffix("\n").split("\n")
        return "\n".join([f"|{chomp}", *(f"{indent or '  '}{line}" if line else "" for line in lines)])
    if "\n" not in value and _PRINTABLE_LINES.match(value) and "\t" not in value and '"' in value:
        return "'" + value.replace("'", "''") + "'"
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _is_plain(value: str) -> bool:
    if not _SAFE.match(value) or value != value.strip() or (value[0] == "-" and value[1:2] in ("", " ", "-")):
        return False
    return (
        value != "..." and not value.startswith("... ") and resolve(value) == value and not _is_yaml11(value)
    )


def _is_yaml11(value: str) -> bool:
    """Return whether a YAML 1.1 reader takes an unquoted *value* for something else than text."""
    resolvers = _YAML11.get(value[0], [])
    return any(pattern.match(value) for _, pattern in resolvers)


def _is_block(value: str) -> bool:
    lines = value.split("\n")
    if len(lines) < 2 or value.endswith("\n\n") or not _PRINTABLE_LINES.match(value):
        return False
    first = next((line for line in lines if line), " ")
    return first[0] not in " \t" and not any(line.isspace() for line in lines)
