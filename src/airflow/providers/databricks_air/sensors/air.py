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
"""The sensor: waits for a run that something else has started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError
from airflow.providers.databricks_air.api.watch.look import Patience, look
from airflow.providers.databricks_air.api.watch.watch import Ended
from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID
from airflow.providers.databricks_air.exceptions import AirServiceError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.follow.links import run_links
from airflow.providers.databricks_air.lifecycle.follow.results import (
    ENDS_TASK,
    GAVE_UP,
    TIMED_OUT,
    Results,
    parse_run_id,
    task_error,
)
from airflow.providers.databricks_air.links.air import LINKS
from airflow.providers.databricks_air.run.outcome.narration import Narrator
from airflow.providers.databricks_air.triggers.air import AirRunTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["AirRunSensor"]


class AirRunSensor(BaseSensorOperator):
    """Waits until a run has ended, and returns its result.

    The run is somebody else's: nothing that happens to the sensor cancels it. Trouble on the way to the workspace is
    no outcome; a refusal is believed when it is all that was heard for minutes.

    :param run_id: id of the run. (templated)
    :param databricks_air_conn_id: the connection to the workspace. (templated)
    :param deferrable: wait in the triggerer instead of on a worker.
    :param poke_interval: the time between two looks at the run's state, wherever it waits: seconds, or a ``timedelta``.
    """

    template_fields: Sequence[str] = ("run_id", "databricks_air_conn_id")
    operator_extra_links = LINKS
    ui_color = "#ffede8"

    def __init__(
        self,
        *,
        run_id: int | str,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: Any = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.run_id = run_id
        self.databricks_air_conn_id = databricks_air_conn_id
        self.deferrable = deferrable
        self._seen: Run | None = None

    @cached_property
    def hook(self) -> AirRuntimeHook:
        """The hook of this task's connection."""
        return AirRuntimeHook(self.databricks_air_conn_id, caller=type(self).__name__)

    @cached_property
    def _narrator(self) -> Narrator:
        return Narrator(self.hook.host)

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer.

        :raises AirRunFailedError: when the run ends without success.
        :raises AirflowSensorTimeout: when it has not ended in time, with what was seen of it last.
        """
        try:
            run_id = parse_run_id(self.run_id)
            host = self.hook.host
        except ENDS_TASK as error:
            raise task_error(error) from None
        self._push(context, run_links(host, run_id))
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout:
                raise self._timeout(run_id) from None
        self.defer(
            trigger=AirRunTrigger(
                run_id=run_id,
                databricks_air_conn_id=self.databricks_air_conn_id,
                polling_interval=float(self.poke_interval),
                deadline=time.time() + float(self.timeout),
                on_kill="detach",
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Look at the run again, whatever the trigger saw, and return its result.

        :param event: ``run_id`` of the run, and why the trigger stopped watching it.
        """
        self.run_id = int(event["run_id"])
        why, message = str(event.get("why")), str(event.get("message") or "")
        if why in TIMED_OUT:
            with contextlib.suppress(ApiError):
                self._seen = self.hook.get_run(self.run_id)
            raise self._timeout(self.run_id)
        if why in GAVE_UP:
            raise AirServiceError(message)
        result = self.poke(context)
        return result.xcom_value if result else super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once; a refusal is looked at again until it has lasted long enough.

        :raises AirRunFailedError: when the run has ended without success.
        :raises AirServiceError: when the workspace keeps refusing to show the run.
        """
        try:
            renew = self.hook.get_credentials
            run = look(self.hook.client, parse_run_id(self.run_id), Patience(), renew=renew)
        except ServiceError as error:
            self.log.warning("Run %s cannot be seen at the moment, waiting goes on: %s", self.run_id, error)
            return PokeReturnValue(is_done=False)
        except ENDS_TASK as error:
            raise task_error(error) from None
        self._seen = run
        return self._judge(run, context)

    def _judge(self, run: Run, context: Context) -> PokeReturnValue:
        results = Results(self.hook.client)
        output = results.output(run)
        for change in self._narrator.changes(run, output, time.time()):
            self.log.info("%s", change)
        self._push(context, run_links(self.hook.host, run.run_id, run, output))
        if not run.is_terminal:
            return PokeReturnValue(is_done=False)
        if not run.is_success:
            raise results.error(Ended("terminal", run, output), printed=None)
        return PokeReturnValue(is_done=True, xcom_value=results.result(run, output))

    def _push(self, context: Context, values: Mapping[str, str]) -> None:
        """Push the addresses of the links, each once."""
        ti: Any = context["ti"]
        for key, value in values.items():
            if self._pushed.get(key) != value:
                ti.xcom_push(key=key, value=value)
                self._pushed[key] = value

    @cached_property
    def _pushed(self) -> dict[str, str]:
        return {}

    def _timeout(self, run_id: int) -> AirflowSensorTimeout:
        phase = f"it was {self._seen.phase} when it was seen last" if self._seen else "it was never seen"
        page = run_links(self.hook.host, run_id, self._seen)["run_page_url"]
        return AirflowSensorTimeout(
            f"Run {run_id} has not ended after {float(self.timeout):.0f} s: {phase}\nRun page: {page}"
        )
