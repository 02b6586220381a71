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
"""The one rule for when a request is sent again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError, UnknownHostError

__all__ = ["RetryRule"]


@dataclass(frozen=True)
class RetryRule:
    """How long to wait before a failed request is sent again.

    :param first: seconds before the first repetition; doubled each time.
    :param longest: seconds that a wait grows to.
    :param patience: seconds in which any call may be repeated, whatever its own budget.
    :param patience_for_names: the same while nobody knows the name of the host: one that is mistyped stays unknown,
        a name server that restarts is back by then.
    :param jitter: draws the share of the wait that is used, between 0.5 and 1.
    """

    first: float = 0.5
    longest: float = 20.0
    patience: float = math.inf
    patience_for_names: float = 15.0
    jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing

    def delay(self, call: Call[Any], error: ApiError, tries: int, elapsed: float) -> float | None:
        """Return the seconds to wait before the next try, or None when there is none.

        :param call: what was asked.
        :param error: what came of it.
        :param tries: how often it was sent already, at least 1.
        :param elapsed: seconds since it was sent first.
        """
        if not call.repeatable or not isinstance(error, ServiceError):
            return None
        wait = min(self.longest, self.first * 2 ** (tries - 1)) * self.jitter()
        if error.retry_after is not None:
            wait = max(error.retry_after, wait)
        patience = self.patience_for_names if isinstance(error, UnknownHostError) else math.inf
        return wait if elapsed + wait <= min(call.budget, self.patience, patience) else None
