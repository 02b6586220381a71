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
"""Values and texts as a message shows them: on one line and not too long."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Scalar

__all__ = ["one_line", "show"]

_LONGEST_VALUE = 60


def show(value: object) -> str:
    """Return *value* for a message: as its author wrote it, quoted where it is text.

    :param value: plain Python data or a node of a document.
    """
    if isinstance(value, Scalar):
        if not isinstance(value.value, str):
            return value.text[:_LONGEST_VALUE] or "null"
        value = value.value
    if value is None:
        return "null"
    if isinstance(value, Mapping | MapNode):
        return "a mapping"
    if isinstance(value, list | tuple | ListNode):
        return "a list"
    if not isinstance(value, str | int | float):
        return f"a value of type {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > _LONGEST_VALUE:
        # Python refuses to print a number of more than 4300 digits.
        return "a very large number"
    text = repr(value[: _LONGEST_VALUE + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def one_line(text: str | bytes) -> str:
    """Return *text* on one line: as it is, or escaped when it holds what cannot be printed."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()
