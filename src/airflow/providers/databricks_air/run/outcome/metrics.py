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
"""The metrics and params of an MLflow run, bounded so that they fit into an XCom and a log line."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["MOST_KEYS", "final_values", "metrics_line"]

MOST_KEYS = 200
LONGEST_TEXT = 250
MOST_SHOWN = 12
SYSTEM = "system/"


def final_values(
    metrics: Mapping[str, float], params: Mapping[str, str]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return metrics and params, ``MOST_KEYS`` together at most.

    The training's own metrics come first, then the params, then what the platform measures (``system/…``).
    A metric that is not finite is None, because JSON has no word for it; a longer text is cut.

    :param metrics: newest value by name.
    :param params: text by name.
    """
    own = sorted(name for name in metrics if not name.startswith(SYSTEM))[:MOST_KEYS]
    kept = sorted(params)[: MOST_KEYS - len(own)]
    measured = sorted(name for name in metrics if name.startswith(SYSTEM))
    own += measured[: MOST_KEYS - len(own) - len(kept)]
    return (
        {name: metrics[name] if math.isfinite(metrics[name]) else None for name in own},
        {name: params[name][:LONGEST_TEXT] for name in kept},
    )


def metrics_line(metrics: Mapping[str, float]) -> str:
    """Return the newest values in one line, the training's own; empty when there are none.

    :param metrics: newest value by name.
    """
    own = sorted(name for name in metrics if not name.startswith(SYSTEM))
    shown = ", ".join(f"{name}={metrics[name]:.6g}" for name in own[:MOST_SHOWN])
    return f"{shown}, … ({len(own)} in all)" if len(own) > MOST_SHOWN else shown
