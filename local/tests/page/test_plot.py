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
"""Plots of metrics."""

from __future__ import annotations

import re

from databricks_air_local.page.plot import plot


def test_plots() -> None:
    """One point, equal values, and values that are no numbers can be drawn."""
    assert "<polyline" in plot([(0, 1.0)])
    assert "<polyline" in plot([(0, 1.0), (1, 1.0), (2, "NaN")])
    assert "<polyline" not in plot([(0, "Infinity")])
    assert plot([(n, float(n)) for n in range(5000)]).count(",") < 2500


def test_ticks_are_round() -> None:
    """Rows and steps stand at multiples of 1, 2 or 5, or at powers of ten; values that are not positive have none."""
    linear = plot([(step, 0.37 + step * 0.113) for step in range(40)])
    decades = plot([(step, 10.0**-step) for step in range(4)], logarithmic=True)

    assert re.findall('text-anchor="end">([^<]+)<', linear) == ["2", "4"]
    assert re.findall('text-anchor="middle">([^<]+)<', linear) == ["0", "10", "20", "30"]
    assert re.findall('text-anchor="end">([^<]+)<', decades) == ["0.001", "0.01", "0.1", "1"]
    assert plot([(0, 0.0), (1, 5.0)], logarithmic=True) == plot([(0, 0.0), (1, 5.0)])
