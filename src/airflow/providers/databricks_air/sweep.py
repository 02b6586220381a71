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
"""Choose among the results of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = ["best_of"]


def best_of(
    results: Iterable[Mapping[str, Any]], metric: str, mode: Literal["min", "max"] = "min"
) -> Mapping[str, Any]:
    """Return the result of the run whose final metric is the best; the first of several that are equal.

    Results that lack the metric, or have no number for it, are left out.

    :param results: of mapped ``AirRunOperator`` tasks, as a task gets them from ``.output``.
    :param metric: name of the metric.
    :param mode: ``"min"`` when less is better, ``"max"`` when more is.
    :raises ValueError: when there is no such result, with the metrics that there are; or for another mode.
    """
    if mode not in {"min", "max"}:
        raise ValueError(f"mode: {mode!r} is neither 'min' nor 'max'")
    known: set[str] = set()
    best: tuple[float, Mapping[str, Any]] | None = None
    for result in results:
        metrics = (result or {}).get("metrics") or {}
        known.update(metrics)
        value = metrics.get(metric)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            continue
        rank = value if mode == "min" else -value
        if best is None or rank < best[0]:
            best = (rank, result)
    if best is None:
        names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"metric: no result has a number for {metric!r}; the metrics there are: {names}")
    return best[1]
