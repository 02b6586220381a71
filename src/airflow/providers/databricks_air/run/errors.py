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
"""The errors of a run that never left this machine.

::

    AirError                 everything this package raises on purpose
    ├── ConfigError          the author must change the run configuration
    ├── SnapshotError        the author must change the code directory
    └── ApiError             see ``api/errors.py``: a workspace was asked
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["AirError", "ConfigError", "FieldError", "SnapshotError"]


class AirError(Exception):
    """The root of every error that this package raises on purpose."""


@dataclass(frozen=True)
class FieldError:
    """One mistake in a run configuration.

    :param path: dotted path of the field (``compute.num_accelerators``); empty for the whole document.
    :param message: the value and the rule it breaks.
    :param hint: what to write instead; empty when the message says it.
    :param file: the file (or ``override``) that the value comes from, where known.
    :param line: the line in that file, counted from 1, where known.
    :param absent: whether something is missing, which another file may bring, rather than wrong.
    """

    path: str
    message: str
    hint: str = ""
    file: str | None = None
    line: int | None = None
    absent: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        """Render as ``file:line: path: message. hint``."""
        place = [self.file or "line", str(self.line)] if self.line else [self.file] if self.file else []
        where = f"{(':' if self.file else ' ').join(place)}: " if place else ""
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}{what}. {self.hint}" if self.hint else f"{where}{what}"


class ConfigError(AirError, ValueError):
    """The run configuration has mistakes; ``errors`` holds all of them.

    :param errors: every mistake found, in document order.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__(self.errors)

    def __str__(self) -> str:
        """Render every mistake on a line of its own."""
        count = len(self.errors)
        head = f"The run configuration has {count} error{'s' if count != 1 else ''}:"
        return "\n".join([head, *(f"  - {error}" for error in self.errors)])


class SnapshotError(AirError):
    """The code directory cannot be packed."""
