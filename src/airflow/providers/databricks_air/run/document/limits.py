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
"""What one document may hold after its aliases and bases are expanded."""

from __future__ import annotations

from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Budget", "too_large"]

#: The AIR client refuses an effective document over 1 MiB; the other two keep memory and time small
#: whatever the input.
MAX_BYTES = 1024 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 64

_HINT = "Keep large or nested data in a file of the code source"


class Budget:
    """Counts what a document holds and refuses one that holds too much.

    :param file: the file to name in the error.
    """

    def __init__(self, file: str | None = None) -> None:
        self.file = file
        self.values = 0
        self.characters = 0

    def spend(self, values: int, characters: int, line: int | None = None) -> None:
        """Count *values* and *characters*.

        :raises ConfigError: when the document gets too large.
        """
        self.values += values
        self.characters += characters
        if self.values > MAX_VALUES:
            self._refuse(f"has more than {MAX_VALUES} values when its aliases are expanded", line)
        if self.characters > MAX_BYTES:
            self._refuse(f"is larger than {MAX_BYTES} bytes when its aliases are expanded", line)

    def check_depth(self, depth: int, line: int | None = None) -> None:
        """Refuse a value that is nested too deeply.

        :raises ConfigError: when *depth* passes the limit.
        """
        if depth > MAX_DEPTH:
            self._refuse(f"has values nested more than {MAX_DEPTH} levels deep", line)

    def _refuse(self, what: str, line: int | None) -> None:
        raise ConfigError([FieldError("", f"the document {what}", _HINT, self.file, line)])


def too_large(what: str, size: int, file: str | None = None) -> FieldError:
    """Return the mistake of a document that passes the limit of bytes.

    :param what: which document: ``the document``, ``the effective document``.
    :param size: its bytes.
    :param file: the file that it was read from, where there is one.
    """
    return FieldError("", f"{what} has {size} bytes, the limit is {MAX_BYTES}", _HINT, file)
