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
"""Follows one run from a thread: run id in; changes, log lines and one ending out.

``steps.py`` says what a watch wants next; here it is done, and in ``api/fleet/`` for many runs in one event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.api.watch import limits
from airflow.providers.databricks_air.api.watch.events import Ended, Event, Found, Lines, Said
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from airflow.providers.databricks_air.api.watch.pace import Schedule
from airflow.providers.databricks_air.api.watch.steps import LineSource, Look, Watch, look_at, send, throw

__all__ = ["Ended", "Event", "Found", "Lines", "Said", "WatchPlan", "watch"]

log = logging.getLogger(__name__)


def watch(
    client: SyncClient,
    plan: WatchPlan,
    *,
    stream: LineSource | None = None,
    renew: Callable[[], Credentials] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Follow a run from this thread.

    :param client: performs the calls.
    :param plan: which run, and how.
    :param stream: where its log lines come from; None for no lines.
    :param renew: returns fresh credentials, after a refusal and now and then.
    :param sleep: waits that many seconds.
    """
    schedule = Schedule(plan.polling_interval)
    connection = _Connection(client, renew)

    def perform(wanted: Call[Any] | Look) -> Any:
        connection.keep_fresh()
        if isinstance(wanted, Call):
            return client.perform(wanted)
        wait, is_due = schedule.plan(wanted)
        sleep(wait)
        return schedule.seen(client.perform(look_at(plan.run_id))) if is_due else None

    steps = Watch(plan, stream).steps()
    step = next(steps, None)
    while step is not None:
        if not isinstance(step, Call | Look):
            yield step
            step = send(steps, None)
            continue
        try:
            answer = perform(step)
        except ApiError as error:
            if isinstance(error, AuthError):
                connection.read()
            schedule.hold(error.retry_after)
            step = throw(steps, error)
        else:
            step = send(steps, answer)


class _Connection:
    """Where the credentials of a client come from."""

    def __init__(self, client: SyncClient, renew: Callable[[], Credentials] | None) -> None:
        self._client = client
        self._renew = renew
        self._read_at = time.monotonic()

    def keep_fresh(self) -> None:
        if time.monotonic() - self._read_at >= limits.RENEW_AFTER:
            self.read()

    def read(self) -> None:
        if self._renew is None:
            return
        try:
            self._client.credentials = self._renew()
        except Exception as error:  # noqa: BLE001 - whatever it is, it says nothing about the run
            log.warning("The credentials could not be read anew: %s", error)
        self._read_at = time.monotonic()
