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
"""The trigger: follows one run in the triggerer. Its class path and arguments live in users' databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow.providers.databricks_air.api.fleet.shared import SharedWatcher
from airflow.providers.databricks_air.api.watch.watch import Ended, Found, Lines, WatchPlan
from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID, OnClear, OnKill
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.end.cancel import cancel_for_good
from airflow.providers.databricks_air.lifecycle.end.trigger_end import TriggerEnd
from airflow.providers.databricks_air.lifecycle.follow.links import push_links
from airflow.providers.databricks_air.lifecycle.follow.metrics import AirflowMeasure
from airflow.providers.databricks_air.lifecycle.follow.results import TIMED_OUT
from airflow.providers.databricks_air.lifecycle.follow.task_log import TaskLog
from airflow.providers.databricks_air.lifecycle.follow.waiting import tell
from airflow.providers.databricks_air.version_compat import TRIGGER_HAS_ON_KILL

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.fleet.watcher import Watcher
    from airflow.providers.databricks_air.api.http.credentials import Credentials

__all__ = ["AirRunTrigger"]


class AirRunTrigger(BaseTrigger):
    """Follows a run and fires once, when there is something for the task to decide.

    :param run_id: id of the run.
    :param databricks_air_conn_id: the connection to the workspace.
    :param polling_interval: the longest time that a change of the run's state may stay unnoticed, in seconds.
    :param deadline: epoch seconds at which the watch gives up; None for never.
    :param queue_timeout: seconds that an attempt may wait for accelerators; None for as long as it takes.
    :param on_kill: whether a user's end of the task, or a deadline, cancels the run.
    :param on_clear: whether a cleared task adopts the run.
    :param log_nodes: ranks of the nodes whose log is printed, or ``"all"``; None prints none.
    :param metrics_interval: seconds between two lines with the newest metrics; None for no such lines.
    :param experiment_access: entries of an access list for the run's MLflow experiment, granted as soon as it
        is known; None for none.
    """

    def __init__(  # noqa: PLR0917 - they are stored by name
        self,
        run_id: int,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        polling_interval: float = 30.0,
        deadline: float | None = None,
        queue_timeout: float | None = None,
        on_kill: OnKill = "cancel",
        on_clear: OnClear = "rerun",
        log_nodes: list[int] | Literal["all"] | None = None,
        metrics_interval: float | None = None,
        experiment_access: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.databricks_air_conn_id = databricks_air_conn_id
        self.polling_interval = polling_interval
        self.deadline = deadline
        self.queue_timeout = queue_timeout
        self.kill_action = on_kill
        self.on_clear = on_clear
        self.log_nodes = log_nodes
        self.metrics_interval = metrics_interval
        self.experiment_access = experiment_access
        self._watcher: Watcher | None = None
        self._task_log = TaskLog(run_id, log_nodes, polling_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all of them plain values without secrets."""
        return (
            "airflow.providers.databricks_air.triggers.air.AirRunTrigger",
            {
                "run_id": self.run_id,
                "databricks_air_conn_id": self.databricks_air_conn_id,
                "polling_interval": self.polling_interval,
                "deadline": self.deadline,
                "queue_timeout": self.queue_timeout,
                "on_kill": self.kill_action,
                "on_clear": self.on_clear,
                "log_nodes": self.log_nodes,
                "metrics_interval": self.metrics_interval,
                "experiment_access": self.experiment_access,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the run; nothing that happens to the network ends it."""
        try:
            ended = await self._follow()
            await self._task_log.await_worker()
        except asyncio.CancelledError:
            self._task_log.hand_over()
            if getattr(self, "task_instance", None) is None:
                # `dags test`: nobody cancels again, and nobody else is there to end the run.
                await asyncio.shield(self._end().start())
            elif not TRIGGER_HAS_ON_KILL:
                self._end().start()
            raise
        # Nothing may be awaited after the event: Airflow takes a trigger that lives on for a killed one.
        event = {
            "run_id": self.run_id,
            "why": ended.why,
            "message": ended.message,
            "log_nodes": self.log_nodes,
            "log": self._task_log.cursor,
        }
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the run if a user ended the task (Airflow 3.3 and later call this, and not only then)."""
        await asyncio.shield(self._end().start())

    async def _follow(self) -> Ended:
        try:
            conn_id = self.databricks_air_conn_id
            async with SharedWatcher(conn_id, self._connect, AirflowMeasure(conn_id)) as watcher:
                self._watcher = watcher
                return await self._follow_through(watcher)
        except AirConfigError as error:
            return Ended("denied", None, message=str(error))

    async def _connect(self) -> Credentials:
        return await AirRuntimeHook(
            self.databricks_air_conn_id, caller=type(self).__name__
        ).aget_credentials()

    async def _follow_through(self, watcher: Watcher) -> Ended:
        stream = await self._task_log.open(getattr(self, "task_instance", None), self.log, self.trigger_id)
        plan = WatchPlan(
            self.run_id,
            self.polling_interval,
            self.deadline,
            self.queue_timeout,
            self.metrics_interval,
            host=watcher.host,
            experiment_access=self.experiment_access or (),
            # The task looks again when it goes on.
            is_relay=True,
        )
        try:
            async for event in watcher.follow(plan, stream=stream):
                if isinstance(event, Ended):
                    if event.why in TIMED_OUT and self.kill_action == "cancel":
                        await cancel_for_good(watcher.client, self.run_id, self.log)
                    return event
                if isinstance(event, Lines):
                    await self._task_log.print(event.lines)
                elif isinstance(event, Found):
                    push_links(getattr(self, "task_instance", None), watcher.host, event.output)
                else:
                    tell(self.log, event)
        finally:
            self._task_log.close()
        raise AssertionError("a watch ends with Ended")

    def _end(self) -> TriggerEnd:
        credentials: Credentials | None = self._watcher.client.credentials if self._watcher else None
        return TriggerEnd(
            run_id=self.run_id,
            conn_id=self.databricks_air_conn_id,
            credentials=credentials,
            action=self.kill_action,
            on_clear=self.on_clear,
            ti=getattr(self, "task_instance", None),
        )
