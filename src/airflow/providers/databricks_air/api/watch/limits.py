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
"""How a run is followed, and what ends a watch beside the run's own end: refusals that last, and deadlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError
from airflow.providers.databricks_air.api.watch.events import Ended
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = [
    "PATIENCE_DENIED",
    "PATIENCE_MISSING",
    "RENEW_AFTER",
    "Refusals",
    "WatchPlan",
    "expired",
    "next_limit",
]

PATIENCE_DENIED = 300.0
"""Seconds over which 401 or 403 must be all that is heard before it is believed."""
PATIENCE_MISSING = 180.0
"""The same for 'does not exist', of a run whose id the service itself has told us."""
RENEW_AFTER = 180.0
"""Seconds after which a connection is read again though nothing was refused: its secret may have been rotated."""


@dataclass(frozen=True)
class WatchPlan:
    """How a run is followed.

    :param run_id: id of the run.
    :param polling_interval: the longest time that a change of the state may stay unnoticed, in seconds.
    :param deadline: epoch seconds at which the watch gives up; None for never.
    :param queue_timeout: seconds that an attempt may wait for accelerators; None for as long as it takes.
    :param metrics_interval: seconds between two looks at the metrics; None for none.
    :param host: the workspace URL, for the addresses that are told; empty for none.
    :param experiment_access: who gets access to the MLflow experiment as soon as it is known, as entries of
        an access list.
    :param is_resumed: whether what the first look finds was told by an earlier watch.
    :param is_relay: whether another watch takes over at the end, so that nothing but the end is asked for.
    :param patience_denied: seconds over which 401 or 403 must be all that is heard before it is believed.
    :param patience_missing: the same for 'does not exist'.
    """

    run_id: int
    polling_interval: float = 30.0
    deadline: float | None = None
    queue_timeout: float | None = None
    metrics_interval: float | None = None
    host: str = ""
    experiment_access: Sequence[Mapping[str, str]] = ()
    is_resumed: bool = False
    is_relay: bool = False
    patience_denied: float = PATIENCE_DENIED
    patience_missing: float = PATIENCE_MISSING


class Refusals:
    """Keeps since when 'denied' or 'missing' is all that is heard of a run.

    :param plan: says how long is long enough.
    """

    __slots__ = ("_kind", "_plan", "_since")

    def __init__(self, plan: WatchPlan) -> None:
        self._plan = plan
        self._kind: type[ApiError] | None = None
        self._since = 0.0

    def forget(self) -> None:
        """Begin anew: the run was seen."""
        self._kind = None

    def ending(self, error: ApiError, run: Run | None, now: float) -> Ended | None:
        """Return the ending, once one refusal was all that was heard for long enough.

        :param error: what was heard just now.
        :param run: what was seen last.
        :param now: epoch seconds.
        """
        kind = next((kind for kind in (AuthError, NotFoundError) if isinstance(error, kind)), None)
        if kind is None or kind is not self._kind:
            self._kind, self._since = kind, now
        heard_for = now - self._since
        if kind is AuthError and heard_for >= self._plan.patience_denied:
            return Ended(
                "denied", run, message=f"the workspace has refused access for {heard_for:.0f} s: {error}"
            )
        if kind is NotFoundError and heard_for >= self._plan.patience_missing:
            return Ended("missing", run, message=f"the workspace does not know the run: {error}")
        return None


def expired(plan: WatchPlan, run: Run | None, now: float) -> Ended | None:
    """Return the ending when a deadline has passed.

    :param plan: has the deadlines.
    :param run: what was seen last.
    :param now: epoch seconds.
    """
    if plan.deadline is not None and now >= plan.deadline:
        return Ended("expired", run, message="the task's execution_timeout has passed")
    queue_limit = _queue_limit(plan, run)
    if run is not None and queue_limit is not None and now >= queue_limit:
        limit = f"queue_timeout is {plan.queue_timeout:g} s"
        message = f"no accelerators after {now - run.waiting_since / 1000:.0f} s of waiting ({limit})"
        return Ended("queue_expired", run, message=message)
    return None


def next_limit(plan: WatchPlan, run: Run | None) -> float | None:
    """Return the epoch seconds at which the next deadline passes; None when there is none.

    :param plan: has the deadlines.
    :param run: what was seen last.
    """
    limits = [limit for limit in (plan.deadline, _queue_limit(plan, run)) if limit is not None]
    return min(limits, default=None)


def _queue_limit(plan: WatchPlan, run: Run | None) -> float | None:
    if plan.queue_timeout is None or run is None or not run.is_waiting or not run.waiting_since:
        return None
    return run.waiting_since / 1000 + plan.queue_timeout
