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
"""What becomes of a run whose trigger is cancelled.

Airflow cancels a trigger when a user ends the task, but also when another triggerer has taken it over, and
repeats that every second; so the decision has a task of its own, which no cancellation reaches.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async

from airflow.providers.databricks_air.api.http.calls import cancel_run
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.ownership import OnClear, OnKill, Verdict, judge_trigger
from airflow.providers.databricks_air.version_compat import ask_own_state, read_owner

__all__ = ["Release", "cancel_for_good"]

log = logging.getLogger(__name__)

# The first question to a triggerer's supervisor makes it build its API, which takes long on a busy machine.
ASK_SECONDS = 60.0
CANCEL_SECONDS = 60.0

# An event loop keeps weak references to its tasks only.
_under_way: set[asyncio.Task[None]] = set()


@dataclass(frozen=True)
class Release:
    """Decides whether the run of a cancelled trigger is to end, and ends it.

    :param run_id: id of the run.
    :param conn_id: the connection, read where ``credentials`` are not known yet.
    :param credentials: those that the trigger used.
    :param action: what a user's kill does to the run.
    :param on_clear: whether a cleared task adopts the run.
    :param ti: the task instance of the trigger; None where Airflow gives none.
    :param owner_key: the XCom with attempt and run id of the newest attempt.
    """

    run_id: int
    conn_id: str
    credentials: Credentials | None
    action: OnKill
    on_clear: OnClear
    ti: Any
    owner_key: str

    def start(self) -> asyncio.Task[None]:
        """Decide and act in a task of its own."""
        task = asyncio.create_task(self._decide())
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
        return task

    async def _decide(self) -> None:
        if self.ti is None or self.action == "detach":
            return
        verdict = await self._judge()
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

    async def _judge(self) -> Verdict:
        try:
            seen = await asyncio.wait_for(sync_to_async(ask_own_state)(self.ti), ASK_SECONDS)
            owner = await asyncio.wait_for(sync_to_async(read_owner)(self.ti, self.owner_key), ASK_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            log.debug("Airflow could not be asked for the task's state: %s", error)
            seen = owner = None
        return judge_trigger(
            seen, run_id=self.run_id, try_number=self.ti.try_number, owner=owner, on_clear=self.on_clear
        )


async def cancel_for_good(client: AsyncClient, run_id: int, logger: Any) -> None:
    """Ask for the end of a run, again and again for a minute if need be.

    :param client: of the workspace.
    :param run_id: id of the run.
    :param logger: told when it fails.
    """
    try:
        await client.perform(cancel_run(run_id).within(CANCEL_SECONDS))
    except ApiError as error:
        logger.error("Run %s could not be cancelled: %s", run_id, error)
