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
"""A task that has one run: it begins the run or finds it, follows it, and says how it ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow.providers.databricks_air.arguments import Duration, OnClear, OnKill, seconds_of
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.operators.templates import TypedTemplates

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
    from airflow.providers.databricks_air.lifecycle.task_run import TaskRun
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["RunTask"]


class RunTask(TypedTemplates):
    """Takes care of the run of a task, from its launch or adoption to its result, whoever ends the task.

    What the author may choose stands at ``AirRunOperator``, which is also where the values come from.
    """

    config_path: str | None
    config: Mapping[str, Any] | str | RunConfig | None
    overrides: Mapping[str, Any] | Sequence[str] | None
    idempotency_token: str | None
    databricks_air_conn_id: str
    deferrable: bool
    wait_for_termination: bool
    polling_interval: Duration
    queue_timeout: Duration | None
    kill_action: OnKill
    on_clear: OnClear
    durable: bool
    stream_logs: bool
    log_nodes: int | Sequence[int] | Literal["all"]
    retry_on: Collection[str] | None
    push_metrics: bool
    log_metrics_interval: Duration | None
    partition_keys: str | Sequence[str] | None

    _task: TaskRun | None = None
    _worker: Worker | None = None
    _was_killed = False
    _is_handed_over = False

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

    def _result(self, follow: Following, ended: Ended, printed: Any) -> Any:
        """Return what downstream tasks get of a run whose watch is over; raise where it ended without success."""
        return follow.result(ended, printed)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Return what the task has asked for and which run it has followed, also when the run has failed.

        Only the provider of OpenLineage asks for it.
        """
        from airflow.providers.databricks_air.lifecycle.follow.lineage import lineage_of

        return lineage_of(self._task.outcome if self._task else {})

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
                check=lambda config: self._check(context, config),
                token=self.idempotency_token,
                waits=self.wait_for_termination,
            )
            self._task, self._worker = task, task.worker
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
                    partition_keys=self.partition_keys,
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

    def _check(self, context: Context, config: RunConfig) -> None:
        """Check what is about the run and not in its configuration, before anything is paid for."""
        from airflow.providers.databricks_air.lifecycle.follow.assets import check_partitions
        from airflow.providers.databricks_air.lifecycle.follow.results import check_retry_on
        from airflow.providers.databricks_air.run.outcome.attempts import attempts_warning

        check_retry_on(self.retry_on)
        check_partitions(context, self.partition_keys)
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
