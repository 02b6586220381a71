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
"""What a function that ran on a node returned: lines of its log, which any workspace keeps.

``AIRFLOW_RESULT 1/2 0a1b2c3d {"loss": |``: part, how many there are, the checksum of the whole, and a piece of the
JSON text up to the last bar. The checksum tells a torn result from a whole one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["FAILED_MARK", "LONGEST_RESULT", "MARK", "PIECE", "Returned", "parse_returned"]

MARK = "AIRFLOW_RESULT"
FAILED_MARK = "AIRFLOW_RESULT_ERROR"
# The platform's log keeps longer lines; people read these.
PIECE = 2000
LONGEST_RESULT = 256 * 1024
_PART = re.compile(rf"{MARK} (\d+)/(\d+) ([0-9a-f]{{8}}) (.*)\|\s*$", re.DOTALL)
_ERROR = re.compile(rf"{FAILED_MARK} (.*)")


class Returned(NamedTuple):
    """The value of a function, or why it cannot be handed over.

    :param value: JSON values.
    :param error: for people; empty when there is a value.
    """

    value: Any = None
    error: str = ""


def parse_returned(lines: Iterable[str]) -> Returned | None:
    """Return what the newest complete result among the lines says; None when there is none.

    :param lines: of a log, oldest first.
    """
    parts: dict[str, dict[int, str]] = {}
    found: Returned | None = None
    for line in lines:
        if error := _ERROR.search(line):
            found = Returned(error=error[1].strip())
        if part := _PART.search(line):
            number, count, checksum, piece = int(part[1]), int(part[2]), part[3], part[4]
            pieces = parts.setdefault(checksum, {})
            pieces[number] = piece
            text = "".join(pieces[index] for index in sorted(pieces))
            if len(pieces) == count and f"{zlib.crc32(text.encode()):08x}" == checksum:
                found = Returned(json.loads(text))
    return found
