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
"""The sensor: waits for a run that somebody else submitted."""

from __future__ import annotations

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

from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError, ServiceError
from airflow.providers.databricks_air.api.watch.watch import Ended
from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID
from airflow.providers.databricks_air.exceptions import AirServiceError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.follow.results import (
    ENDS_TASK,
    GAVE_UP,
    TIMED_OUT,
    ending_error,
    parse_run_id,
    task_error,
)
from airflow.providers.databricks_air.run.outcome.result import run_result
from airflow.providers.databricks_air.triggers.air import AirRunTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["AirRunSensor"]

# Refusals in a row before a poke believes them, and the seconds between two.
REFUSALS = 3
REFUSAL_PAUSE = 5.0


class AirRunSensor(BaseSensorOperator):
    """Waits until a run has ended, and returns its result.

    The run is somebody else's: nothing that happens to the sensor cancels it.

    :param run_id: id of the run. (templated)
    :param databricks_air_conn_id: the connection to the workspace. (templated)
    :param deferrable: wait in the triggerer instead of on a worker.
    :param poke_interval: seconds between two looks at the run's state, wherever it waits.
    """

    template_fields: Sequence[str] = ("run_id", "databricks_air_conn_id")
    ui_color = "#ffede8"

    def __init__(
        self,
        *,
        run_id: int | str,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.run_id = run_id
        self.databricks_air_conn_id = databricks_air_conn_id
        self.deferrable = deferrable

    @cached_property
    def hook(self) -> AirRuntimeHook:
        """The hook of this task's connection."""
        return AirRuntimeHook(self.databricks_air_conn_id, caller=type(self).__name__)

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer.

        :raises AirRunFailedError: when the run ends without success.
        """
        if not self.deferrable:
            return super().execute(context)
        try:
            run_id = parse_run_id(self.run_id)
            self.hook.get_credentials()
        except ENDS_TASK as error:
            raise task_error(error) from None
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
        why, message = str(event.get("why")), str(event.get("message") or "")
        if why in TIMED_OUT:
            raise AirflowSensorTimeout(f"Run {event['run_id']} has not ended after {self.timeout:.0f} s")
        if why in GAVE_UP:
            raise AirServiceError(message)
        self.run_id = int(event["run_id"])
        result = self.poke(context)
        return result.xcom_value if result else super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once; trouble on the way to the workspace is no outcome.

        :raises AirRunFailedError: when the run has ended without success.
        :raises AirServiceError: when the workspace keeps refusing to show the run.
        """
        try:
            run = self._look(parse_run_id(self.run_id))
        except ServiceError as error:
            self.log.warning("Run %s cannot be seen at the moment, waiting goes on: %s", self.run_id, error)
            return PokeReturnValue(is_done=False)
        except ENDS_TASK as error:
            raise task_error(error) from None
        self.log.info("Run %s: %s", run.run_id, run.phase)
        if not run.is_terminal:
            return PokeReturnValue(is_done=False)
        if not run.is_success:
            raise ending_error(Ended("terminal", run), self.hook.host)
        output = self._output(run)
        result = run_result(self.hook.host, run, output.mlflow_experiment_id, output.mlflow_run_id)
        return PokeReturnValue(is_done=True, xcom_value=result)

    def _look(self, run_id: int) -> Run:
        """Ask for the state; a refusal counts only when it is repeated."""
        refusals = 0
        while True:
            try:
                return self.hook.get_run(run_id)
            except (AuthError, NotFoundError) as error:
                refusals += 1
                if refusals == REFUSALS:
                    raise
                self.log.warning("Run %s: %s; asking again", run_id, error)
                time.sleep(REFUSAL_PAUSE)

    def _output(self, run: Run) -> TaskOutput:
        try:
            return self.hook.client.perform(get_output(run.latest.run_id if run.latest else 0).once())
        except ApiError:
            # The MLflow ids are an addition to a run that succeeded.
            return TaskOutput()
