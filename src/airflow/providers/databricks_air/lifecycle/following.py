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
"""The second half of a task: its run exists, is followed to its end, and the end becomes a result or an error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.databricks_air.api.http.errors import NotFoundError
from airflow.providers.databricks_air.api.launch.permissions import experiment_entries, grant_on_experiment
from airflow.providers.databricks_air.api.watch.watch import Ended, WatchPlan
from airflow.providers.databricks_air.lifecycle.follow.assets import tell_assets
from airflow.providers.databricks_air.lifecycle.follow.results import GAVE_UP, TIMED_OUT, Results
from airflow.providers.databricks_air.lifecycle.follow.waiting import LogChoice, follow
from airflow.providers.databricks_air.lifecycle.task_run import deadline_of
from airflow.providers.databricks_air.run.outcome.result import run_result

if TYPE_CHECKING:
    from airflow.providers.databricks_air.arguments import OnClear, OnKill
    from airflow.providers.databricks_air.lifecycle.task_run import TaskRun
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Following", "WatchOrder"]

# How often a trigger that was lost is replaced before the worker watches by itself.
TRIGGERS_LOST = 3


@dataclass(frozen=True)
class WatchOrder:
    """How a run is followed, on the worker as in the triggerer; the fields are the trigger's arguments."""

    run_id: int
    databricks_air_conn_id: str
    polling_interval: float = 30.0
    deadline: float | None = None
    queue_timeout: float | None = None
    on_kill: OnKill = "cancel"
    on_clear: OnClear = "rerun"
    log_nodes: list[int] | Literal["all"] | None = None
    metrics_interval: float | None = None
    experiment_access: list[dict[str, str]] | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed, or does so within a second."""
        return self.deadline is not None and time.time() >= self.deadline - 1

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the trigger."""
        return asdict(self)


@dataclass(frozen=True)
class Following:
    """Follows the run of a task as its author wants it followed.

    :param task: the running task instance and its run.
    :param logs: which nodes' logs are printed.
    :param results: makes the result of the task, or its error.
    :param log: where to print.
    :param timeout: seconds of ``execution_timeout``; None for no limit.
    :param queue_timeout: seconds that an attempt may wait for accelerators; None for as long as it takes.
    :param metrics_interval: seconds between two lines with the newest metrics; None for no such lines.
    :param partition_keys: of the partitions of the task's assets that the run makes.
    """

    task: TaskRun
    logs: LogChoice
    results: Results
    log: Any
    timeout: float | None = None
    queue_timeout: float | None = None
    metrics_interval: float | None = None
    partition_keys: Any = None

    def plan(self, run: Run) -> WatchOrder:
        """Return how the run is followed.

        :param run: the run that the task has adopted or submitted.
        """
        task, nodes = self.task, self.logs.nodes_of(run)
        return WatchOrder(
            run_id=run.run_id,
            databricks_air_conn_id=task.hook.databricks_air_conn_id,
            polling_interval=self.logs.polling_interval,
            deadline=deadline_of(task.context, self.timeout) if self.timeout is not None else None,
            queue_timeout=self.queue_timeout,
            on_kill=task.policy.on_kill,
            on_clear=task.policy.on_clear,
            log_nodes=list(nodes) if isinstance(nodes, tuple) else nodes,
            metrics_interval=self.metrics_interval,
            experiment_access=experiment_entries(task.config.permissions) if task.config else None,
        )

    def replan(self, run_id: int, why: str) -> tuple[WatchOrder, bool]:
        """Return how to follow the run of a trigger that was lost, and whether another trigger does it.

        :param run_id: the run that it followed.
        :param why: what became of it.
        """
        told = self.task.told()
        watch = WatchOrder(**{**told.watch, "run_id": run_id})
        by_trigger = not watch.is_overdue and told.lost < TRIGGERS_LOST
        next_step = "another one follows it" if by_trigger else "the worker follows it"
        if watch.is_overdue:
            next_step = "its execution_timeout has passed, so nobody follows it any more"
        self.log.warning("The trigger that followed run %s was lost (%s); %s", run_id, why, next_step)
        if by_trigger:
            self.task.remember_lost(told)
        return watch, by_trigger

    def wait(self, watch: WatchOrder, *, is_resumed: bool = False, cursor: Any = None) -> Ended:
        """Follow the run on this worker, as the trigger would.

        :param watch: which run, and how.
        :param is_resumed: whether a trigger has followed it before: then Airflow minds ``execution_timeout`` no
            longer.
        :param cursor: where its log goes on.
        """
        hook = self.task.hook
        if is_resumed and watch.is_overdue:
            message = "the task's execution_timeout has passed"
            return Ended("expired", hook.get_run(watch.run_id), message=message)
        plan = WatchPlan(
            watch.run_id,
            watch.polling_interval,
            deadline=watch.deadline if is_resumed else None,
            queue_timeout=watch.queue_timeout,
            metrics_interval=watch.metrics_interval,
            host=hook.host,
            experiment_access=watch.experiment_access or (),
            is_resumed=is_resumed,
        )
        stream = self.logs.stream(watch.run_id, watch.log_nodes, cursor)
        return follow(hook.client, plan, stream, self.log, hook.get_credentials, self.task.link)

    def ending(self, event: Mapping[str, Any]) -> Ended:
        """Return how the watch of a trigger ended, from the run itself where the run has ended.

        :param event: what the trigger fired.
        """
        run_id, why, message = int(event["run_id"]), str(event.get("why")), str(event.get("message") or "")
        hook = self.task.hook
        if why not in GAVE_UP:
            nodes = event.get("log_nodes")
            watch = WatchOrder(
                run_id, hook.databricks_air_conn_id, self.logs.polling_interval, log_nodes=nodes
            )
            return self.wait(watch, is_resumed=True, cursor=event.get("log"))
        try:
            run = hook.get_run(run_id)
        except NotFoundError:
            return Ended("missing", None, message=message)
        # The trigger cancels when a time is up: that it was cancelled is not why such a run has ended.
        has_own_end = run.is_terminal and not (why in TIMED_OUT and run.state.result == "CANCELED")
        return Ended("terminal" if has_own_end else why, run, message=message)  # type: ignore[arg-type]

    def result(self, ended: Ended, printed: Any) -> dict[str, Any]:
        """Return the result of a run that succeeded; otherwise cancel what is alive and raise.

        :param ended: how the watch ended.
        :param printed: the nodes whose log stands in the task's log already.
        :raises AirRunFailedError: when the run ended without success, or a time was up.
        """
        run, worker = ended.run, self.task.worker
        if ended.why in TIMED_OUT and run is not None and not run.is_terminal:
            worker.give_up(ended.message)
            worker.settle()
        if run is not None and run.is_terminal:
            worker.settle()
            ended = replace(ended, output=self.results.output(run, ended.output))
            self.task.link(ended.output)
        if run is not None and run.is_success:
            with worker.returning():
                result = self.results.result(run, ended.output)
                self.task.tidy()
                return self._told(result)
        if run is not None:
            ids = ended.output.mlflow_experiment_id, ended.output.mlflow_run_id
            self.task.outcome = run_result(self.task.hook.host, run, *ids)
        raise self.results.error(ended, printed=printed)

    def let_go(self, run: Run) -> dict[str, Any]:
        """Return what is known of a run that nobody waits for.

        :param run: the run.
        """
        task = self.task
        if task.config is not None:
            grant_on_experiment(task.hook.client, task.config.permissions, run)
        task.worker.settle()
        return self._told(run_result(task.hook.host, run))

    def _told(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result, once the assets of the task have it, too."""
        tell_assets(self.task.context, result, self.partition_keys)
        self.task.outcome = result
        return result
