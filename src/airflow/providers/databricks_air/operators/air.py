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

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, get_args

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow.providers.databricks_air.api.http.errors import NotFoundError
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.launch.permissions import experiment_entries, grant_on_experiment
from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN, plan, planning_client
from airflow.providers.databricks_air.api.watch.watch import Ended, WatchPlan, watch
from airflow.providers.databricks_air.arguments import check_choice, check_positive
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.lifecycle.claim import RUN_ID_KEY, Claim, identity_of, known_run
from airflow.providers.databricks_air.lifecycle.config_source import read_config, render
from airflow.providers.databricks_air.lifecycle.endings import (
    ENDS_TASK,
    GAVE_UP,
    TIMED_OUT,
    task_error,
    tell,
)
from airflow.providers.databricks_air.lifecycle.interruption import Interruption, recover
from airflow.providers.databricks_air.lifecycle.log_choice import chosen_nodes, log_stream
from airflow.providers.databricks_air.lifecycle.outcome import check_retry_on, failure_of, result_of
from airflow.providers.databricks_air.lifecycle.ownership import OnClear, OnKill, RunPolicy
from airflow.providers.databricks_air.links.air import RUN_PAGE_URL_KEY, AirRunLink
from airflow.providers.databricks_air.operators.cancel import AirCancelRunOperator
from airflow.providers.databricks_air.run.outcome.attempts import attempts_warning
from airflow.providers.databricks_air.run.outcome.result import page_url, run_result
from airflow.providers.databricks_air.triggers.air import OWNER_KEY, AirRunTrigger
from airflow.providers.databricks_air.version_compat import state_store

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.api.logs.stream import LogNodes, LogStream
    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["AirCancelRunOperator", "AirRunOperator"]


class AirRunOperator(BaseOperator):
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
    :param databricks_air_conn_id: the connection to the workspace.
    :param deferrable: wait in the triggerer instead of on a worker.
    :param wait_for_termination: whether to wait at all; without it the task succeeds once the run exists.
    :param polling_interval: seconds between two looks at the run's state.
    :param queue_timeout: seconds that an attempt may wait for accelerators before the run is cancelled and
        the task fails; None for as long as it takes.
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
    :param log_metrics_interval: seconds between two lines with the newest metrics in the task's log; None for
        no such lines.
    :param durable: whether a retry adopts the run of an earlier try; without it every try starts a fresh one.
    """

    template_fields: Sequence[str] = ("config_path", "config", "overrides", "idempotency_token")
    template_fields_renderers = {"config": "yaml", "overrides": "json"}  # noqa: RUF012
    operator_extra_links = (AirRunLink(),)
    ui_color = "#ffede8"

    def __init__(
        self,
        *,
        config_path: str | None = None,
        config: Mapping[str, Any] | str | RunConfig | None = None,
        overrides: Mapping[str, Any] | Sequence[str] | None = None,
        idempotency_token: str | None = None,
        databricks_air_conn_id: str = AirRuntimeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        wait_for_termination: bool = True,
        polling_interval: float = 30.0,
        queue_timeout: float | None = None,
        on_kill: OnKill = "cancel",
        on_clear: OnClear = "rerun",
        durable: bool = True,
        stream_logs: bool = True,
        log_nodes: int | Sequence[int] | Literal["all"] = 0,
        retry_on: Collection[str] | None = None,
        push_metrics: bool = True,
        log_metrics_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("on_kill", on_kill, get_args(OnKill))
        check_choice("on_clear", on_clear, get_args(OnClear))
        check_positive("polling_interval", polling_interval)
        check_positive("queue_timeout", queue_timeout)
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
        self._interruption: Interruption | None = None

    @cached_property
    def hook(self) -> AirRuntimeHook:
        """The hook of this task's connection."""
        return AirRuntimeHook(self.databricks_air_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, upload, submit once, wait, and return the result.

        :raises AirConfigError: when configuration, code directory or connection must change first.
        :raises AirRunFailedError: when the run ends without success.
        :raises AirServiceError: when the workspace cannot be asked.
        """
        try:
            config, base_dir = read_config(self, context)
            check_retry_on(self)
            nodes = chosen_nodes(self, config.node_count)
            if warning := attempts_warning(self.retries or 0, config.max_retries):
                self.log.warning("%s", warning)
            run = self._claim(context, config, base_dir).obtain()
            self._announce(context, run)
            if not self.wait_for_termination:
                grant_on_experiment(self.hook.client, config.permissions, run)
                return run_result(self.hook.host, run)
            access = experiment_entries(config.permissions)
            if self.deferrable and not run.is_terminal:
                self._defer(run.run_id, nodes, access)
            stream = log_stream(self, run.run_id, nodes)
            return self._finish(self._wait(run.run_id, stream, experiment_access=access), nodes)
        except ENDS_TASK as error:
            raise task_error(error) from None

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take over from the trigger: look at the run again, whatever the trigger saw, and return its result.

        :param event: ``run_id`` of the run, and why the trigger stopped watching it.
        """
        try:
            run_id = int(event["run_id"])
            self._interruption = self._interruption_of(context, run_id)
            why, message = str(event.get("why")), str(event.get("message") or "")
            nodes = event.get("log_nodes")
            stream = log_stream(self, run_id, nodes, event.get("log"))
            return self._finish(self._ending_of(run_id, why, message, stream), nodes)
        except ENDS_TASK as error:
            raise task_error(error) from None

    def render_template(self, content: Any, context: Context, *options: Any, **named: Any) -> Any:
        """Render as Airflow does, also in a ``RunConfig``, and leave ``{{secrets/scope/key}}`` to the platform."""
        airflow = super().render_template
        return render(content, lambda part: airflow(part, context, *options, **named))

    def dry_run(self) -> None:
        """Print what a launch would upload and submit; nothing is sent but reads.

        The token, and the name of the launch directory with it, are only known to a running task; examples
        stand for them unless the configuration has a token.

        :raises AirConfigError: when configuration, code directory or connection must change first.
        :raises AirServiceError: when the workspace cannot be asked.
        """
        try:
            config, base_dir = read_config(self, cast("Context", {"dag": self.get_dag()}))
            token = self.idempotency_token or config.idempotency_token or EXAMPLE_TOKEN
            client = planning_client(self.hook.get_credentials())
            print(plan(client, config, token=token, base_dir=base_dir).to_text())  # noqa: T201
        except ENDS_TASK as error:
            raise task_error(error) from None

    def on_kill(self) -> None:
        """Cancel the run if a user ends the task; leave it to the next try if the worker goes away."""
        interruption = self._interruption or recover(self.hook, self._policy)
        if interruption is not None:
            interruption.handle()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the triggerer; where Airflow itself has ended the wait, nobody may be left to end the run.

        :param next_method: ``__fail__`` when the trigger was lost or has run out of its time.
        """
        if next_method == "__fail__":
            why = str((next_kwargs or {}).get("error", "the trigger was lost"))
            interruption = self._interruption_of(context, known_run(context))
            if interruption.is_last_try or not self.durable or "timeout" in why.lower():
                interruption.give_up(why)
        return super().resume_execution(next_method, next_kwargs, context)

    @property
    def _policy(self) -> RunPolicy:
        return RunPolicy(self.kill_action, self.on_clear, self.durable)

    def _interruption_of(self, context: Context, run_id: int | None = None) -> Interruption:
        return Interruption(self.hook, context["ti"], self._policy, run_id)

    def _claim(self, context: Context, config: RunConfig, base_dir: Path) -> Claim:
        ti: Any = context["ti"]
        self._interruption = interruption = self._interruption_of(context)
        identity = identity_of(context, self.on_clear)
        if not self.durable:
            identity = replace(identity, life=f"{identity.life}/{ti.try_number}")

        def submit(token: str, created: Callable[[int], None]) -> int:
            def note(run_id: int) -> None:
                interruption.run_id = run_id
                created(run_id)

            return interruption.guard(
                lambda: launch(self.hook.client, config, token=token, base_dir=base_dir, created=note)
            )

        return Claim(
            client=self.hook.client,
            identity=identity,
            submit=submit,
            store=state_store(context) if self.durable else None,
            try_number=ti.try_number,
            token=self.idempotency_token or config.idempotency_token,
            on_kill=self.kill_action,
        )

    def _announce(self, context: Context, run: Run) -> None:
        """Say where the run is, and leave what others need while it lasts."""
        url = page_url(self.hook.host, run)
        self.log.info("AI Runtime run %s: %s", run.run_id, url)
        ti: Any = context["ti"]
        ti.xcom_push(key=RUN_PAGE_URL_KEY, value=url)
        ti.xcom_push(key=RUN_ID_KEY, value=run.run_id)
        ti.xcom_push(key=OWNER_KEY, value=[ti.try_number, run.run_id])
        if self._interruption is not None:
            self._interruption.run_id = run.run_id

    def _defer(self, run_id: int, nodes: LogNodes | None, access: list[dict[str, str]]) -> NoReturn:
        deadline = None
        if self.execution_timeout is not None:
            deadline = time.time() + self.execution_timeout.total_seconds()
        self.defer(
            trigger=AirRunTrigger(
                run_id=run_id,
                databricks_air_conn_id=self.databricks_air_conn_id,
                polling_interval=self.polling_interval,
                deadline=deadline,
                queue_timeout=self.queue_timeout,
                on_kill=self.kill_action,
                on_clear=self.on_clear,
                log_nodes=list(nodes) if isinstance(nodes, tuple) else nodes,
                metrics_interval=self.log_metrics_interval,
                experiment_access=access,
            ),
            method_name="execute_complete",
        )
        raise AssertionError("defer raises")

    def _wait(self, run_id: int, stream: LogStream | None, **options: Any) -> Ended:
        plan = WatchPlan(
            run_id,
            self.polling_interval,
            queue_timeout=self.queue_timeout,
            metrics_interval=self.log_metrics_interval,
            host=self.hook.host,
            **options,
        )
        for event in watch(self.hook.client, plan, stream=stream, renew=self.hook.get_credentials):
            if isinstance(event, Ended):
                return event
            tell(self.log, event)
        raise AssertionError("a watch ends with Ended")

    def _ending_of(self, run_id: int, why: str, message: str, stream: LogStream | None) -> Ended:
        """Return how the watch ended, from the run itself where the run has ended."""
        if why not in GAVE_UP:
            return self._wait(run_id, stream, is_resumed=True)
        try:
            run = self.hook.get_run(run_id)
        except NotFoundError:
            return Ended("missing", None, message=message)
        # The trigger cancels when a time is up: that it was cancelled is not why such a run has ended.
        has_own_end = run.is_terminal and not (why in TIMED_OUT and run.state.result == "CANCELED")
        return Ended("terminal" if has_own_end else why, run, message=message)  # type: ignore[arg-type]

    def _finish(self, ended: Ended, nodes: LogNodes | list[int] | None) -> dict[str, Any]:
        """Return the result of a run that succeeded; otherwise cancel what is alive and raise."""
        run = ended.run
        if run is not None and run.is_success:
            return result_of(self, run, ended.output)
        if ended.why in TIMED_OUT and run is not None and not run.is_terminal:
            self._cancel(run.run_id)
        raise failure_of(self, ended, printed=nodes)

    def _cancel(self, run_id: int) -> None:
        if self.kill_action == "detach":
            return
        self.log.info("Cancelling run %s", run_id)
        self.hook.cancel_run(run_id)
