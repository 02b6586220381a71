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

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, conf

from airflow.providers.databricks_air.arguments import (
    DEFAULT_CONN_ID,
    Duration,
    OnClear,
    OnKill,
    check_choice,
    check_durations,
    seconds_of,
)
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.links.air import LINKS
from airflow.providers.databricks_air.operators.cancel import AirCancelRunOperator
from airflow.providers.databricks_air.operators.orphans import AirOrphanRunsOperator
from airflow.providers.databricks_air.operators.templates import TypedTemplates, map_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.watch.events import Ended
    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
    from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy
    from airflow.providers.databricks_air.lifecycle.end.worker import Worker
    from airflow.providers.databricks_air.lifecycle.follow.waiting import LogChoice
    from airflow.providers.databricks_air.lifecycle.following import Following, WatchOrder
    from airflow.providers.databricks_air.lifecycle.launch.config_source import ConfigSource
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["AirCancelRunOperator", "AirOrphanRunsOperator", "AirRunOperator"]


class AirRunOperator(TypedTemplates):
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
        "effective_config",
    )
    # Airflow 2 shows a mapping with no renderer but this one.
    template_fields_renderers = {"config": "json", "overrides": "json", "effective_config": "yaml"}  # noqa: RUF012
    operator_extra_links = LINKS
    ui_color = "#ffede8"

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("on_kill", on_kill, get_args(OnKill))
        check_choice("on_clear", on_clear, get_args(OnClear))
        check_durations(
            self.task_id,
            polling_interval=polling_interval,
            queue_timeout=queue_timeout,
            log_metrics_interval=log_metrics_interval,
        )
        self.config_path = config_path
        self.config = config
        self.overrides = overrides
        self.idempotency_token = idempotency_token
        self.databricks_air_conn_id = databricks_air_conn_id
        self.deferrable = deferrable
        self.wait_for_termination = wait_for_termination
        self.polling_interval = polling_interval
        self.queue_timeout = queue_timeout
        self.kill_action = on_kill
        self.on_clear = on_clear
        self.durable = durable
        self.stream_logs = stream_logs
        self.log_nodes = log_nodes
        self.retry_on = retry_on
        self.push_metrics = push_metrics
        self.log_metrics_interval = log_metrics_interval
        # Airflow shows template fields only, as they are when the task begins.
        self.effective_config: str | None = None
        self._worker: Worker | None = None
        self._was_killed = False
        self._is_handed_over = False

    @cached_property
    def hook(self) -> AirRuntimeHook:
        """The hook of this task's connection."""
        from airflow.providers.databricks_air.hooks.air import AirRuntimeHook

        return AirRuntimeHook(self.databricks_air_conn_id, caller=type(self).__name__)

    def execute(self, context: Context) -> Any:
        """Adopt or submit, announce, wait, and return the result.

        :raises AirConfigError: when configuration, code directory or connection must change first.
        :raises AirRunFailedError: when the run ends without success.
        :raises AirServiceError: when the workspace cannot be asked.
        """
        with self._in_charge(context) as follow:
            run = follow.task.adopt() or follow.task.submit()
            watch = follow.plan(run)
            follow.task.announce(run, watch.arguments())
            if not self.wait_for_termination:
                return follow.let_go(run)
            if self.deferrable and not run.is_terminal:
                self._hand_over(watch)
            return self._result(follow, follow.wait(watch), watch.log_nodes)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Take over from the trigger: look at the run again, whatever the trigger saw, and return its result.

        :param event: ``run_id`` of the run, and why the trigger stopped watching it.
        """
        from airflow.providers.databricks_air.lifecycle.owner.record import is_of_earlier_try

        run_id = int(event["run_id"])
        if is_of_earlier_try(context):
            self.log.info("The task was cleared while run %s was handed back; beginning anew", run_id)
            return self.execute(context)
        with self._in_charge(context, run_id) as follow:
            return self._result(follow, follow.ending(event), event.get("log_nodes"))

    def _describe(self, context: Context) -> None:
        self.effective_config = self._source(context.get("dag")).shown()

    def _name_of_mapped(self) -> str:
        return map_name(self.overrides)

    def _result(self, follow: Following, ended: Ended, printed: Any) -> Any:
        """Return what downstream tasks get of a run whose watch is over; raise where it ended without success."""
        return follow.result(ended, printed)

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

    def on_kill(self) -> None:
        """Cancel the run if a user ends the task; leave it to the next try if the worker goes away."""
        self._was_killed = True
        worker = self._worker or self._interrupted_worker()
        if worker is not None:
            worker.on_kill()

    def after_report(self) -> None:
        """Stay in charge of the run until a trigger has taken it up; called when the task has reported.

        A task that a person ends before that gets no signal and no trigger, and nobody else follows its run.
        """
        if self._is_handed_over and self._worker is not None:
            self._is_handed_over = False
            self._worker.stay_until_taken()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the triggerer, also where Airflow has lost the trigger: that is no reason to end a run.

        :param next_method: ``__fail__`` when the trigger was lost, has failed or has run out of its time.
        """
        from airflow.providers.databricks_air.lifecycle.owner.record import known_run

        run_id = known_run(context) if next_method == "__fail__" else None
        if run_id is None:
            return super().resume_execution(next_method, next_kwargs, context)
        return self._watch_again(context, run_id, str((next_kwargs or {}).get("error", "it was lost")))

    def _watch_again(self, context: Context, run_id: int, why: str) -> Any:
        """Follow the run of a trigger that was lost: with another one, and in the end by this worker itself."""
        with self._in_charge(context, run_id) as follow:
            watch, by_trigger = follow.replan(run_id, why)
            if by_trigger:
                self._hand_over(watch)
            return self._result(follow, follow.wait(watch, is_resumed=True), watch.log_nodes)

    def _hand_over(self, watch: WatchOrder) -> NoReturn:
        from airflow.providers.databricks_air.triggers.air import AirRunTrigger
        from airflow.providers.databricks_air.version_compat import call_after_report

        if self._worker is not None:
            self._worker.check_still_wanted()
        self._is_handed_over = True
        call_after_report(self.after_report)
        self.defer(trigger=AirRunTrigger(**watch.arguments()), method_name="execute_complete")
        raise AssertionError("defer raises")

    @contextmanager
    def _in_charge(self, context: Context, run_id: int | None = None) -> Iterator[Following]:
        """Take care of the run of a task until the block ends, and let it end with one clear error."""
        from airflow.providers.databricks_air.lifecycle.follow.results import (
            ENDS_TASK,
            Results,
            task_error,
            timeout_error,
        )
        from airflow.providers.databricks_air.lifecycle.following import Following
        from airflow.providers.databricks_air.lifecycle.task_run import TaskRun

        timeout = self.execution_timeout
        task: TaskRun | None = None
        try:
            task = TaskRun(
                context,
                self.hook,
                self._policy,
                self._source(context.get("dag")).read,
                check=self._check,
                token=self.idempotency_token,
                waits=self.wait_for_termination,
            )
            self._worker = task.worker
            # A signal that came before there was anything to end.
            task.worker.is_killed = self._was_killed
            with task.worker.responsible():
                if run_id is not None:
                    task.resume(run_id)
                yield Following(
                    task,
                    self._log_choice,
                    Results(self.hook.client, self.push_metrics, self.retry_on),
                    self.log,
                    timeout=timeout.total_seconds() if timeout is not None else None,
                    queue_timeout=self._seconds("queue_timeout"),
                    metrics_interval=self._seconds("log_metrics_interval"),
                )
        except AirflowTaskTimeout:
            # Airflow's own error names a process, and Airflow would call this behind it.
            self.on_kill()
            raise timeout_error(timeout, task.worker.run_id if task else None, self.hook.host) from None
        except ENDS_TASK as error:
            raise task_error(error) from None
        finally:
            if self._worker is not None:
                self._worker.client.close()

    def _check(self, config: RunConfig) -> None:
        """Check what is about the run and not in its configuration, before anything is paid for."""
        from airflow.providers.databricks_air.lifecycle.follow.results import check_retry_on
        from airflow.providers.databricks_air.run.outcome.attempts import attempts_warning

        check_retry_on(self.retry_on)
        self._log_choice.nodes(config.node_count)
        if warning := attempts_warning(self.retries or 0, config.max_retries):
            self.log.warning("%s", warning)

    def _interrupted_worker(self) -> Worker | None:
        """Return what ends the run of an earlier process of this try; None where there is none.

        A signal may arrive while Python imports the very modules that this needs: then nothing of this process
        was launched, and ``execute`` finds that it was killed.
        """
        try:
            from airflow.providers.databricks_air.lifecycle.end.worker import Worker
        except ImportError:
            return None
        return Worker.of_interrupted(self._connect, self._policy)

    def _connect(self) -> SyncClient:
        return self.hook.client

    def _source(self, dag: Any) -> ConfigSource:
        from airflow.providers.databricks_air.lifecycle.launch.config_source import ConfigSource

        return ConfigSource(self.config_path, self.config, self.overrides, dag)

    @property
    def _policy(self) -> RunPolicy:
        from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy

        return RunPolicy(self.kill_action, self.on_clear, self.durable)

    @property
    def _log_choice(self) -> LogChoice:
        from airflow.providers.databricks_air.lifecycle.follow.waiting import LogChoice

        return LogChoice(self.stream_logs, self.log_nodes, self._seconds("polling_interval") or 30.0)

    def _seconds(self, name: str) -> float | None:
        try:
            return seconds_of(name, getattr(self, name))
        except ValueError as error:
            raise AirConfigError(str(error)) from None
