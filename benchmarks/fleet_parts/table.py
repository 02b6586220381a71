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
"""The table: what was measured, what it may be, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Row", "table"]

HEAD = ("what", "measurement", "ours", "peer", "ratio", "bar", "")


@dataclass(frozen=True)
class Row:
    """One measurement.

    :param what: of what.
    :param name: its name, with its unit.
    :param ours: our number.
    :param peer: the peer's; None where there is none.
    :param share: what ours may be at most in relation to the peer's; None for no bar.
    :param most: what ours may be at most; None for no bar.
    :param is_inverse: whether the ratio is the peer's number to ours, and *share* the least it may be.
    """

    what: str
    name: str
    ours: float
    peer: float | None = None
    share: float | None = None
    most: float | None = None
    is_inverse: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours in relation to the peer's, or the other way round."""
        if not self.peer:
            return None
        return self.peer / self.ours if self.is_inverse else self.ours / self.peer

    @property
    def verdict(self) -> str:
        """``held``, ``missed``, or nothing where there is no bar."""
        checks = []
        if self.share is not None and self.ratio is not None:
            checks.append(self.ratio >= self.share if self.is_inverse else self.ratio <= self.share)
        if self.most is not None:
            checks.append(self.ours <= self.most)
        return "" if not checks else "held" if all(checks) else "missed"

    def cells(self) -> list[str]:
        """Return what stands in the table."""
        bars = []
        if self.share is not None:
            bars.append(f"{'at least' if self.is_inverse else 'ratio'} {self.share:.3g}")
        if self.most is not None:
            bars.append(f"{self.most:.3g}")
        numbers = ["" if number is None else f"{number:.3g}" for number in (self.ours, self.peer, self.ratio)]
        return [self.what, self.name, *numbers, ", ".join(bars), self.verdict]


def table(rows: list[Row]) -> str:
    """Return the rows as a table for the documentation."""
    lines = [".. Written by benchmarks/fleet.py", "", ".. list-table::", "   :header-rows: 1", ""]
    for cells in [HEAD, *(row.cells() for row in rows)]:
        lines += [f"   {'* -' if not number else '  -'} {cell}".rstrip() for number, cell in enumerate(cells)]
    return "\n".join(lines) + "\n"
