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

from databricks_air_local.page.plot import plot


def test_plots() -> None:
    """One point, equal values, and values that are no numbers can be drawn."""
    assert "<polyline" in plot([(0, 1.0)])
    assert "<polyline" in plot([(0, 1.0), (1, 1.0), (2, "NaN")])
    assert "<polyline" not in plot([(0, "Infinity")])
    assert plot([(n, float(n)) for n in range(5000)]).count(",") < 2500
