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
from collections.abc import Sequence

from markupsafe import Markup

__all__ = ["plot"]

_WIDTH, _HEIGHT, _LEFT, _EDGE, _BELOW = 480, 200, 58, 12, 26
_MOST = 400


def plot(points: Sequence[tuple[int, float]]) -> Markup | None:
    """Return the SVG of a line through points; None without a point.

    :param points: steps and values; values that are no finite numbers are left out.
    """
    finite = sorted((step, value) for step, value in points if math.isfinite(value))
    if not finite:
        return None
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    left, right = finite[0][0], finite[-1][0]
    width, height = _WIDTH - _LEFT - _EDGE, _HEIGHT - _EDGE - _BELOW

    def place(step: float, value: float) -> tuple[float, float]:
        across = (step - left) / (right - left) if right > left else 0.5
        down = (high - value) / (high - low) if high > low else 0.5
        return _LEFT + width * across, _EDGE + height * down

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _thinned(finite)))
    x, y = place(*finite[-1])
    marks = "".join(_rule(place(left, value)[1], value) for value in sorted({low, (low + high) / 2, high}))
    base = _HEIGHT - 8
    ends = _text(_LEFT, base, "start", f"step {left}") + _text(_WIDTH - _EDGE, base, "end", str(right))
    return Markup(  # noqa: S704 - numbers are all that is in it
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="11" role="img">{marks}{ends}'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg>'
    )


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return fewer points of the same look: of each stretch the lowest and the highest."""
    stretch = max(1, math.ceil(len(points) / _MOST))
    parts = [points[start : start + stretch] for start in range(0, len(points), stretch)]
    kept = {pick(part, key=lambda point: point[1]) for part in parts for pick in (min, max)}
    return sorted(kept | {points[0], points[-1]})


def _rule(y: float, value: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(_LEFT - 6, y + 4, "end", f"{value:.4g}")


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
