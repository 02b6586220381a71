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
"""The event trigger: tells of runs that end, for assets that Airflow's own tasks do not feed."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers import base

from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.errors import ServiceError
from airflow.providers.databricks_air.api.runs.finished import LOOK_BACK, finished_runs
from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID, Duration, seconds_of
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.run.outcome.result import run_result
from airflow.providers.databricks_air.version_compat import airflow_instance

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.credentials import Credentials
    from airflow.providers.databricks_air.api.runs.finished import FinishedRun

__all__ = ["AirRunFinished"]

log = logging.getLogger(__name__)

_AGAIN = 60.0
# Airflow 2 watches no assets; there the trigger may be read and not used.
_EventTrigger: Any = getattr(base, "BaseEventTrigger", base.BaseTrigger)


class AirRunFinished(_EventTrigger):  # type: ignore[misc]
    """Fires for every run of AI Runtime that ends and that no task of this Airflow has asked for.

    For ``AssetWatcher(name=…, trigger=AirRunFinished(experiment="nightly-*"))`` on Airflow 3.0 and later. The event
    has what ``AirRunOperator`` returns, and ``user``. Triggers of one connection and interval share one look at the
    workspace from Airflow 3.3 on, and remember there what they have told; before, a run that ends while no triggerer
    runs is not told of.

    :param experiment: name of the MLflow experiment without its directory, or a pattern with ``*``.
    :param databricks_air_conn_id: the connection to the workspace.
    :param user: who submitted the run; empty for anybody.
    :param states: the results that are told of, such as ``SUCCESS`` and ``FAILED``.
    :param polling_interval: the time between two looks: seconds, or a ``timedelta``.
    """

    def __init__(
        self,
        experiment: str = "*",
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        user: str = "",
        states: Sequence[str] = ("SUCCESS",),
        polling_interval: Duration = 60.0,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.databricks_air_conn_id = databricks_air_conn_id
        self.user = user
        self.states = list(states)
        self.polling_interval = seconds_of("polling_interval", polling_interval) or 60.0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain values without secrets."""
        return (
            "airflow.providers.databricks_air.triggers.finished.AirRunFinished",
            {
                "experiment": self.experiment,
                "databricks_air_conn_id": self.databricks_air_conn_id,
                "user": self.user,
                "states": self.states,
                "polling_interval": self.polling_interval,
            },
        )

    async def run(self) -> AsyncIterator[base.TriggerEvent]:
        """Fire for every run that ends; nothing that happens to the network ends it."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    def shared_stream_key(self) -> Hashable:
        """Return what triggers have in common that look at the same workspace as often."""
        return ("databricks_air", self.databricks_air_conn_id, self.polling_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[FinishedRun]:
        """Yield every run that ends, for all who share the key.

        :param kwargs: the arguments of one of them.
        """
        hook = AirRuntimeHook(kwargs["databricks_air_conn_id"], caller=cls.__name__)
        client = AsyncClient(await _credentials(hook))

        async def renew() -> None:
            client.credentials = await _credentials(hook)

        try:
            async for run in finished_runs(client, kwargs["polling_interval"], renew):
                yield run
        finally:
            await client.close()

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[FinishedRun]
    ) -> AsyncIterator[base.TriggerEvent]:
        """Yield an event for every run that this trigger is for.

        :param shared_stream: the runs that end, each once, the last hour's first.
        """
        since, told = await self._recall()
        async for run in shared_stream:
            number = str(run.fields.run.run_id)
            if run.end <= since or number in told or not self._is_meant(run):
                continue
            output = run.output
            result = run_result(run.host, run.fields.run, output.mlflow_experiment_id, output.mlflow_run_id)
            yield base.TriggerEvent({**result, "user": run.fields.user})  # type: ignore[no-untyped-call]
            told = {key: end for key, end in told.items() if end >= run.end - LOOK_BACK * 2000}
            told[number] = run.end
            await self._remember({"since": since, "told": told})

    def _is_meant(self, run: FinishedRun) -> bool:
        owner, fields = run.owner or {}, run.fields
        return (
            fields.run.state.word in self.states
            and fnmatch.fnmatchcase(fields.experiment_name, self.experiment)
            and self.user in ("", fields.user)
            and owner.get("airflow") != airflow_instance()
        )

    async def _recall(self) -> tuple[int, dict[str, int]]:
        """Return since when runs are told of, and the ends of those that were told of lately."""
        try:
            kept = await self.asset_state_store.aget(self._key)
        except (AttributeError, ValueError):
            # Before Airflow 3.3, or one trigger for several assets.
            kept = None
        if isinstance(kept, dict):
            return int(kept["since"]), dict(kept["told"])
        since = round(time.time() * 1000)
        await self._remember({"since": since, "told": {}})
        return since, {}

    async def _remember(self, value: dict[str, Any]) -> None:
        with contextlib.suppress(AttributeError, ValueError):
            await self.asset_state_store.aset(self._key, value)

    @property
    def _key(self) -> str:
        kwargs = json.dumps(self.serialize()[1], sort_keys=True)
        return f"databricks_air_finished_{hashlib.sha256(kwargs.encode()).hexdigest()[:16]}"


async def _credentials(hook: AirRuntimeHook) -> Credentials:
    """Read the connection, however long it takes that there is one."""
    while True:
        try:
            return await hook.aget_credentials()
        except (AirConfigError, ServiceError) as error:
            log.warning("%s; trying again in %.0f s", error, _AGAIN)
            await asyncio.sleep(_AGAIN)
