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
"""A metric over its steps, as a small SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plot"]

_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 28
_MOST_POINTS = 1000
_MOST_DOTS = 60


@dataclass(frozen=True)
class _Axis:
    """From values to places: ``low`` lies at ``start``, ``high`` at ``end``; in decades when ``logarithmic``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, value = (
            math.log10(number) if self.logarithmic else number for number in (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (value - low) / ((high - low) or 1)

    def ticks(self, most: int) -> list[float]:
        """Return round values on the axis: multiples of 1, 2 or 5, or powers of ten."""
        if self.logarithmic:
            decades = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            if len(decades) > 1:
                return [10.0**decade for decade in decades[:: math.ceil(len(decades) / most)]]
        if self.high == self.low:
            return [self.low]
        raw = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def plot(points: Sequence[tuple[int, float | str]], *, logarithmic: bool = False) -> Markup:
    """Return the SVG of a line through points.

    :param points: steps and values; values that are no finite numbers are left out.
    :param logarithmic: with decades on the vertical axis, where all values are positive.
    """
    finite = sorted((x, float(y)) for x, y in points if isinstance(y, (int, float)) and math.isfinite(y))
    if not finite:
        return Markup(  # noqa: S704 - numbers only
            f'<svg width="{_WIDTH}" height="{_HEIGHT}"></svg>'
        )
    values = [y for _, y in finite]
    across = _Axis(finite[0][0], finite[-1][0], _LEFT, _WIDTH - _RIGHT)
    decades = logarithmic and min(values) > 0
    down = _Axis(min(values), max(values), _HEIGHT - _BOTTOM, _TOP, decades)
    places = [(across.place(x), down.place(y)) for x, y in _thinned(finite)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    rows = "".join(_row(down.place(value), value) for value in down.ticks(4))
    steps = "".join(_step(across.place(step), step) for step in across.ticks(5) if step == int(step))
    return Markup(  # noqa: S704 - numbers are all that is in it
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="11" '
        f'fill="var(--ink)" role="img">{rows}{steps}'
        f'<polyline points="{line}" fill="none" stroke="var(--mark)" stroke-width="2"/>'
        f'<g fill="var(--mark)">{dots if len(places) <= _MOST_DOTS else ""}</g></svg>'
    )


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return fewer points of the same look: of each stretch the first, the lowest, the highest and the last."""
    stretch = math.ceil(len(points) / _MOST_POINTS)
    if stretch == 1:
        return points
    kept = []
    for start in range(0, len(points), 4 * stretch):
        part = points[start : start + 4 * stretch]
        low, high = min(part, key=_value), max(part, key=_value)
        kept += sorted({part[0], low, high, part[-1]})
    return kept


def _value(point: tuple[int, float]) -> float:
    return point[1]


def _row(y: float, value: float) -> str:
    rule = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
    return rule + _label(_LEFT - 6, y + 4, "end", f"{value:.4g}")


def _step(x: float, step: float) -> str:
    return _label(x, _HEIGHT - 9, "middle", f"{step:,.0f}")


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
