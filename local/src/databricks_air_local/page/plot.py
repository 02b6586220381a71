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
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plot"]

_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 28
_MOST_POINTS = 1000


def plot(points: Sequence[tuple[int, float | str]]) -> Markup:
    """Return the SVG of a line through points.

    :param points: steps and values; values that are no finite numbers are left out.
    """
    finite = sorted((x, float(y)) for x, y in points if isinstance(y, (int, float)) and math.isfinite(y))
    if not finite:
        return Markup(  # noqa: S704 - numbers only
            f'<svg width="{_WIDTH}" height="{_HEIGHT}"></svg>'
        )
    finite = _thinned(finite)
    left, right = finite[0][0], finite[-1][0]
    low, high = min(y for _, y in finite), max(y for _, y in finite)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + width * (x - left) / ((right - left) or 1)

    def down(y: float) -> float:
        return _TOP + height * (high - y) / ((high - low) or 1)

    line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in finite)
    dots = "".join(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="2.5"/>' for x, y in finite[:60])
    marks = "".join(_row(down(y), y) for y in ([low, (low + high) / 2, high] if high > low else [low]))
    ends = _label(_LEFT, _HEIGHT - 9, "start", str(left)) + _label(
        _WIDTH - _RIGHT, _HEIGHT - 9, "end", str(right)
    )
    step = _label(_LEFT + width / 2, _HEIGHT - 9, "middle", "step")
    return Markup(  # noqa: S704 - numbers are all that is in it
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="11" '
        f'fill="var(--ink)" role="img">{marks}{ends}{step}'
        f'<polyline points="{line}" fill="none" stroke="var(--mark)" stroke-width="2"/>'
        f'<g fill="var(--mark)">{dots if len(finite) <= 60 else ""}</g></svg>'
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


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
