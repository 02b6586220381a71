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
"""What becomes of the run when Airflow cancels its trigger; it is decided in a task of its own.

Airflow cancels a trigger again every second until it is gone, which leaves no time for anything in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.arguments import OnClear, OnKill
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.attempts import Seen, ask_own_state, is_former_attempt
from airflow.providers.databricks_air.lifecycle.end.cancel import cancel_for_good
from airflow.providers.databricks_air.lifecycle.end.helper_thread import ask_apart
from airflow.providers.databricks_air.lifecycle.end.verdict import Verdict, judge_trigger
from airflow.providers.databricks_air.lifecycle.owner.note import owner_by_notes
from airflow.providers.databricks_air.lifecycle.owner.record import OWNER_KEY, read_owner

__all__ = ["TriggerEnd"]

log = logging.getLogger(__name__)

# The first question to a triggerer's supervisor makes it build its API, which takes long on a busy machine.
ASK_SECONDS = 60.0
# A task on its way back to a worker may wait long for a slot.
UNCLEAR_SECONDS = 900.0
# What is running and still shows our marker is the attempt that we have resumed, or one that began this moment.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0

# An event loop keeps weak references to its tasks only.
_under_way: set[asyncio.Task[None]] = set()


@dataclass(frozen=True)
class TriggerEnd:
    """Decides whether the run of a cancelled trigger is to end, and ends it.

    :param run_id: id of the run.
    :param conn_id: the connection, read where ``credentials`` are not known yet.
    :param credentials: those that the trigger used.
    :param action: what a user's kill does to the run.
    :param on_clear: whether a cleared task adopts the run.
    :param ti: the task instance of the trigger; None where Airflow gives none, as in ``dags test``.
    """

    run_id: int
    conn_id: str
    credentials: Credentials | None
    action: OnKill
    on_clear: OnClear
    ti: Any

    def start(self) -> asyncio.Task[None]:
        """Decide and act in a task of its own."""
        task = asyncio.create_task(self._decide())
        _under_way.add(task)
        task.add_done_callback(_finished)
        return task

    async def _decide(self) -> None:
        if self.action == "detach":
            return
        verdict = await self._verdict()
        if not verdict.cancel:
            log.info("Run %s stays alive: %s", self.run_id, verdict.why)
            return
        log.info("Cancelling run %s: %s", self.run_id, verdict.why)
        credentials = self.credentials or await AirRuntimeHook(self.conn_id).aget_credentials()
        client = AsyncClient(credentials)
        try:
            await cancel_for_good(client, self.run_id, log)
        finally:
            await client.close()

    async def _verdict(self) -> Verdict:
        """Ask until the answer is clear."""
        if self.ti is None:
            # Only `dags test` runs a trigger for no task instance: nobody else follows the run.
            return Verdict(True, "interrupted from the keyboard")
        end, pause = time.monotonic() + UNCLEAR_SECONDS, FIRST_PAUSE
        while True:
            verdict = await self._judge()
            if verdict.cancel is not None or time.monotonic() >= end:
                return verdict
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _judge(self) -> Verdict:
        seen: Seen | None = await self._asked(ask_own_state, self.ti)
        owner: tuple[int, int] | None = await self._asked(self._owner) if seen is not None else None
        return judge_trigger(
            seen, run_id=self.run_id, try_number=self.ti.try_number, owner=owner, on_clear=self.on_clear
        )

    async def _asked(self, ask: Callable[..., Any], *given: Any) -> Any:
        try:
            return await ask_apart(ASK_SECONDS, ask, *given)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            log.debug("There is no answer to what has become of the task: %s", error)
            return None

    def _owner(self) -> tuple[int, int] | None:
        """Return the marker of the newest attempt; where Airflow keeps it from a former one (3.4), what notes say."""
        try:
            return read_owner(self.ti, OWNER_KEY)
        except Exception as error:
            if not is_former_attempt(error):
                raise
        client = SyncClient(self.credentials or AirRuntimeHook(self.conn_id).get_credentials())
        try:
            return owner_by_notes(client, self.ti, self.run_id)
        finally:
            client.close()


def _finished(task: asyncio.Task[None]) -> None:
    _under_way.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("What becomes of a run could not be decided: %s", error, exc_info=error)
