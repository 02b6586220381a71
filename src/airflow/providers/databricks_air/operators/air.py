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
"""The operators: train on Databricks AI Runtime, and cancel what trains there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import conf

from airflow.providers.databricks_air.arguments import (
    DEFAULT_CONN_ID,
    Duration,
    OnClear,
    OnKill,
    check_choice,
    check_durations,
)
from airflow.providers.databricks_air.links.air import LINKS
from airflow.providers.databricks_air.operators.cancel import AirCancelRunOperator
from airflow.providers.databricks_air.operators.orphans import AirOrphanRunsOperator
from airflow.providers.databricks_air.operators.run_task import RunTask
from airflow.providers.databricks_air.operators.templates import map_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["AirCancelRunOperator", "AirOrphanRunsOperator", "AirRunOperator"]

_ON_KILL = get_args(OnKill)
_ON_CLEAR = get_args(OnClear)


class AirRunOperator(RunTask):
    """Trains once on Databricks AI Runtime from the YAML file that ``databricks air run`` takes.

    The configuration is checked as a whole before anything is asked for; the code and the launch files
    are uploaded; the run is submitted once, however often the task is tried; and its result is returned.

    :param config_path: the run configuration, a YAML file; looked up beside the Dag file, then in the working
        directory. Give this or ``config``. (templated)
    :param config: the run configuration itself: a mapping, YAML text or a ``RunConfig``. (templated)
    :param overrides: changes to the configuration: ``{"compute.num_accelerators": 16}`` or
        ``["compute.num_accelerators=16"]``. (templated)
    :param idempotency_token: used as it is instead of the one that is made from the task instance, at most 64
        characters; with one, a retry reports the old run instead of starting a new one. (templated)
    :param databricks_air_conn_id: the connection to the workspace. (templated)
    :param deferrable: wait in the triggerer instead of on a worker.
    :param wait_for_termination: whether to wait at all; without it the task succeeds once the run exists.
    :param polling_interval: the longest time that a change of the run's state may stay unnoticed: seconds, or a
        ``timedelta``. (templated)
    :param queue_timeout: how long an attempt may wait for accelerators before the run is cancelled and the task
        fails: seconds, or a ``timedelta``; None for as long as it takes. (templated)
    :param on_kill: ``"cancel"`` ends the run when a user ends the task or ``execution_timeout`` passes;
        ``"detach"`` leaves it alive.
    :param on_clear: ``"rerun"`` starts a fresh run after a user cleared the task; ``"adopt"`` follows the
        old one while it is alive or succeeded.
    :param stream_logs: whether the run's own log is printed into the task's log as it is written.
    :param log_nodes: which nodes' logs: a rank, a list of ranks, or ``"all"``; with more than one, each line
        begins with its node.
    :param retry_on: the causes after which Airflow may try again, of ``"infrastructure"``, ``"capacity"``,
        ``"timeout"``, ``"user_code"``, ``"configuration"``, ``"cancelled"`` and ``"unknown"``; a failure for
        another cause ends the task at once. None tries again after every one, as Airflow does.
    :param push_metrics: whether the result has the final ``metrics`` and ``params`` of the MLflow run, 200 at
        most.
    :param log_metrics_interval: the time between two lines with the newest metrics in the task's log: seconds, or
        a ``timedelta``; None for no such lines.
    :param partition_keys: keys of the partitions of the outlets' assets that the run makes, one or several; needs
        Airflow 3.3. (templated)
    :param durable: whether a retry adopts the run of an earlier try; without it every try starts a fresh one.
    """

    template_fields: Sequence[str] = (
        "config_path",
        "config",
        "overrides",
        "idempotency_token",
        "databricks_air_conn_id",
        "polling_interval",
        "queue_timeout",
        "partition_keys",
        "effective_config",
    )
    # Airflow 2 shows a mapping with no renderer but this one.
    template_fields_renderers = {"config": "json", "overrides": "json", "effective_config": "yaml"}  # noqa: RUF012
    operator_extra_links = LINKS
    ui_color = "#ffede8"
    # Airflow shows template fields only, as they are when the task begins.
    effective_config: str | None = None

    def __init__(
        self,
        *,
        config_path: str | None = None,
        config: Mapping[str, Any] | str | RunConfig | None = None,
        overrides: Mapping[str, Any] | Sequence[str] | None = None,
        idempotency_token: str | None = None,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        wait_for_termination: bool = True,
        polling_interval: Duration = 30.0,
        queue_timeout: Duration | None = None,
        on_kill: OnKill = "cancel",
        on_clear: OnClear = "rerun",
        durable: bool = True,
        stream_logs: bool = True,
        log_nodes: int | Sequence[int] | Literal["all"] = 0,
        retry_on: Collection[str] | None = None,
        push_metrics: bool = True,
        log_metrics_interval: Duration | None = None,
        partition_keys: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("on_kill", on_kill, _ON_KILL)
        check_choice("on_clear", on_clear, _ON_CLEAR)
        check_durations(
            self.task_id,
            polling_interval=polling_interval,
            queue_timeout=queue_timeout,
            log_metrics_interval=log_metrics_interval,
        )
        # All at once: Airflow looks into every single assignment, a fifth of what a task costs when it is parsed.
        vars(self).update(
            config_path=config_path,
            config=config,
            overrides=overrides,
            idempotency_token=idempotency_token,
            databricks_air_conn_id=databricks_air_conn_id,
            deferrable=deferrable,
            wait_for_termination=wait_for_termination,
            polling_interval=polling_interval,
            queue_timeout=queue_timeout,
            kill_action=on_kill,
            on_clear=on_clear,
            durable=durable,
            stream_logs=stream_logs,
            log_nodes=log_nodes,
            retry_on=retry_on,
            push_metrics=push_metrics,
            log_metrics_interval=log_metrics_interval,
            partition_keys=partition_keys,
        )

    def _describe(self, context: Context) -> None:
        self.effective_config = self._source(context.get("dag")).shown()

    def _name_of_mapped(self) -> str:
        return map_name(self.overrides)

    def dry_run(self) -> None:
        """Print what a launch would upload and submit; nothing is sent but reads.

        The token, and the name of the launch directory with it, are only known to a running task; examples
        stand for them unless the configuration has a token.

        :raises AirConfigError: when configuration, code directory or connection must change first.
        :raises AirServiceError: when the workspace cannot be asked.
        """
        from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN, plan, planning_client
        from airflow.providers.databricks_air.lifecycle.follow.results import ENDS_TASK, task_error

        try:
            config, base_dir = self._source(self.get_dag()).read()
            token = self.idempotency_token or config.idempotency_token or EXAMPLE_TOKEN
            client = planning_client(self.hook.get_credentials())
            print(plan(client, config, token=token, base_dir=base_dir).to_text())  # noqa: T201
        except ENDS_TASK as error:
            raise task_error(error) from None
