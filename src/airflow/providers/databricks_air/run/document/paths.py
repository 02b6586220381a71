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
"""The places of values in a document: names of keys and positions in lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["FieldPath", "parse_path", "path_text"]

#: The place of a value: names of keys and positions in lists.
FieldPath: TypeAlias = "tuple[str | int, ...]"

_LONGEST_NAME = 300
_SEGMENT = re.compile(r"([^.\[\]]+)((?:\[[0-9]{1,6}\])*)(?:\.|\Z)")


def parse_path(text: str) -> FieldPath:
    """Return ``permissions[0].level`` or ``permissions.0.level`` as its parts.

    :raises ConfigError: when *text* is not a path.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        found = _SEGMENT.match(text, position)
        if not found or (found.end() == len(text) and text.endswith(".")):
            parts = []
            break
        parts.append(found[1])
        parts.extend(int(index) for index in re.findall(r"[0-9]+", found[2]))
        position = found.end()
    if not parts:
        hint = "Write names with dots, such as compute.num_accelerators"
        raise ConfigError([FieldError(text, "is not a path", hint)])
    return tuple(parts)


def path_text(path: Iterable[str | int]) -> str:
    """Return a path as people write it, on one line: ``permissions[0].level``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = one_line(part if len(part) <= _LONGEST_NAME else f"{part[:_LONGEST_NAME]}…")
            text += f".{name}" if text else name
    return text
