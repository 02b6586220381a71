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
"""Nodes → YAML text as the platform's own command line writes it: block style, four spaces, source order.

PyYAML's emitter writes; what Go's YAML library does otherwise stands here: lists are indented below their key,
and every text that a reader of YAML 1.1 or 1.2 could take for something else is quoted.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.emitter import ScalarAnalysis

from airflow.providers.databricks_air.run.document.limits import MAX_BYTES, too_large
from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Node, Scalar
from airflow.providers.databricks_air.run.document.python_data import from_python, scalar_text
from airflow.providers.databricks_air.run.document.reader import resolve
from airflow.providers.databricks_air.run.errors import ConfigError

__all__ = ["dump_yaml", "effective_text", "write_yaml"]

_INDENT = 4
_PRINTABLE = re.compile(
    r"[\x20-\x7e\xa1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*\Z"
)
_PRINTABLE_LINES = re.compile(_PRINTABLE.pattern.replace("[", r"[\t\n", 1))
_YAML11: Any = yaml.resolver.Resolver.yaml_implicit_resolvers


def dump_yaml(value: Any, *, sort_keys: bool = False) -> str:
    """Return plain Python data as YAML.

    :param sort_keys: order the keys of every mapping by their text.
    :raises ConfigError: when *value* holds something that YAML cannot say.
    """
    return write_yaml(from_python(value), sort_keys=sort_keys)


def write_yaml(node: Node, *, sort_keys: bool = False) -> str:
    """Return a document as YAML text with a line break at its end.

    :param sort_keys: order the keys of every mapping by their text; as they stand when False.
    """
    stream = io.StringIO()
    emitter = _Emitter(stream)
    for event in _events(node, sort_keys):
        emitter.emit(event)
    emitter.dispose()
    return stream.getvalue()


def effective_text(node: Node) -> str:
    """Return the text of ``training_config.yaml``.

    :raises ConfigError: when it passes the limit of the platform.
    """
    text = write_yaml(node)
    size = len(text.encode())
    if size > MAX_BYTES:
        raise ConfigError([too_large("the effective document", size)])
    return text


def _events(node: Node, sort_keys: bool) -> Iterator[yaml.Event]:
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent(explicit=False)
    yield from _node_events(node, sort_keys)
    yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _node_events(node: Node, sort_keys: bool) -> Iterator[yaml.Event]:
    if isinstance(node, ListNode):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=False)
        for item in node.items:
            yield from _node_events(item, sort_keys)
        yield yaml.SequenceEndEvent()
    elif isinstance(node, MapNode):
        yield yaml.MappingStartEvent(None, None, True, flow_style=False)
        for text in sorted(node.entries) if sort_keys else node.entries:
            key = node.entries[text].key
            yield _scalar(Scalar(key, text), block=False)
            yield from _node_events(node.entries[text].node, sort_keys)
        yield yaml.MappingEndEvent()
    else:
        yield _scalar(node, block=True)


def _scalar(node: Scalar, *, block: bool) -> yaml.ScalarEvent:
    """Return the event of one value.

    :param block: whether a text of several lines may stand as such, which it may not in a key.
    """
    if isinstance(node.value, str):
        return yaml.ScalarEvent(None, None, (True, True), node.value, style=_style(node.value, block))
    # The author's own text, where it reads back as it was.
    again = resolve(node.text) if node.text else ""
    same = node.value is not None and type(again) is type(node.value) and repr(again) == repr(node.value)
    return yaml.ScalarEvent(None, None, (True, False), node.text if same else scalar_text(node.value))


def _style(text: str, block: bool) -> str | None:
    """Return ``|`` or ``"`` where a text needs it; None leaves the choice to PyYAML."""
    if block and _is_block(text):
        return "|"
    return None if _PRINTABLE.match(text) and not _looks_typed(text) else '"'


def _looks_typed(text: str) -> bool:
    """Return whether a reader of YAML 1.1 or 1.2 takes an unquoted *text* for something else than text."""
    if not text or resolve(text) != text:
        return True
    return any(pattern.match(text) for _, pattern in _YAML11.get(text[0], []))


def _is_block(text: str) -> bool:
    lines = text.split("\n")
    if len(lines) < 2 or text.endswith("\n\n") or not _PRINTABLE_LINES.match(text):
        return False
    first = next((line for line in lines if line), " ")
    return first[0] not in " \t" and not any(line.isspace() for line in lines)


class _Emitter(yaml.emitter.Emitter):
    """PyYAML's emitter with the indentation of Go's YAML library, and with the styles that are asked for."""

    #: Whether a document needs ``...`` at its end; a single one never does.
    open_ended = property(lambda _: False, lambda *_: None)

    def __init__(self, stream: io.StringIO) -> None:
        super().__init__(stream, indent=_INDENT, width=sys.maxsize, allow_unicode=True)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent to the next multiple of four, and by two behind a dash."""
        self.indents.append(self.indent)
        if self.indent is None:
            self.indent = _INDENT if flow else 0
        elif self.sequence_context:
            self.indent += 2
        else:
            self.indent = (self.indent // _INDENT + 1) * _INDENT

    def determine_block_hints(self, text: str) -> str:
        """Return how a block of lines ends; its first line with text is never indented (see ``_is_block``)."""
        return "" if text.endswith("\n") else "-"

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        """Return what may be done with a text: what was asked for, where something was."""
        style = getattr(self.event, "style", None)
        if style:
            block = style == "|"
            return ScalarAnalysis(scalar, not scalar, "\n" in scalar, False, False, False, True, block)
        return super().analyze_scalar(scalar)
