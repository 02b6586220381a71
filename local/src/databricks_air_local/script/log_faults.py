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
"""What goes wrong on the way of log records to their readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

__all__ = ["LogFaults"]


@dataclass(frozen=True)
class LogFaults:
    """What goes wrong on the way of records to the log endpoint.

    :param late: seconds until a record chosen by ``late_every`` becomes searchable.
    :param late_every: choose every so many records; 0 chooses none.
    :param duplicate_every: deliver every so many records twice; 0 for none.
    :param disorder_every: swap every so many records with the one before; 0 for none.
    :param record_ids: false leaves ``record_id`` out, as older back ends do.
    """

    late: float = 0.0
    late_every: int = 0
    duplicate_every: int = 0
    disorder_every: int = 0
    record_ids: bool = True

    @classmethod
    def parse(cls, document: object) -> LogFaults:
        """Return what a document describes.

        :raises ValueError: naming the field, the value and the rule.
        """
        if not isinstance(document, Mapping):
            raise ValueError(f"log faults {document!r}: must be a mapping")
        names = [item.name for item in fields(cls)]
        for name, value in document.items():
            kind = bool if name == "record_ids" else float if name == "late" else int
            number = (
                kind is not bool and isinstance(value, (int, float)) and value >= 0 and value == kind(value)
            )
            if name not in names:
                raise ValueError(f"log fault field {name!r}: not one of {', '.join(names)}")
            if not (number or (kind is bool and isinstance(value, bool))):
                raise ValueError(
                    f"log fault field {name!r}: {value!r} must be a {kind.__name__}, not negative"
                )
        return cls(**document)
