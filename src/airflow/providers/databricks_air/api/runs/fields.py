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
"""What a run's document says beside its state: who, on what, where from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow.providers.databricks_air.run.outcome.states import Run, parse_run

__all__ = ["RunFields", "Sweep", "is_training", "iso_time", "whole_seconds"]


@dataclass(frozen=True)
class Sweep:
    """The iterations of a for-each run, counted.

    :param total: how many there are.
    :param counts: how many are ``active``, ``completed``, ``failed``, ``scheduled`` and ``succeeded``.
    """

    total: int
    counts: Mapping[str, int]

    def to_json(self) -> dict[str, int]:
        """Return the counts as plain JSON values."""
        return {"total": self.total, **self.counts}


@dataclass(frozen=True)
class RunFields:
    """A run, read from its document.

    :param run: its state and attempts.
    :param user: who submitted it.
    :param experiment: the MLflow experiment, with its directory where the service names it.
    :param accelerator_type: such as ``GPU_8xH100``; empty when unknown.
    :param num_accelerators: over all nodes; 0 when unknown.
    :param pool_id: the GPU pool; empty for none.
    :param usage_policy_id: empty for none.
    :param command_path: absolute path of the command on the workspace; empty when unknown.
    :param code_path: absolute path of the packed code; empty for a run without code.
    :param sweep: the iterations of a for-each run; None for others.
    """

    run: Run
    user: str = ""
    experiment: str = ""
    accelerator_type: str = ""
    num_accelerators: int = 0
    pool_id: str = ""
    usage_policy_id: str = ""
    command_path: str = ""
    code_path: str = ""
    sweep: Sweep | None = None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> RunFields:
        """Read an answer of ``runs/get``, or an entry of ``runs/list``.

        :raises ValueError: when it is not a run.
        """
        tasks = list(_mappings(document.get("tasks")))
        task = _training_task(tasks[-1]) if tasks else {}
        training = _mapping(task, "ai_runtime_task") or _mapping(task, "gen_ai_compute_task")
        deployment = next(_mappings(training.get("deployments")), {})
        compute = _mapping(deployment, "compute") or _mapping(training, "compute")
        container = next(_mappings(deployment.get("containers")), {})
        return cls(
            run=parse_run(document),
            user=str(document.get("creator_user_name") or ""),
            experiment=str(training.get("experiment") or training.get("mlflow_experiment_name") or ""),
            accelerator_type=str(compute.get("accelerator_type") or compute.get("gpu_type") or ""),
            num_accelerators=int(compute.get("accelerator_count") or compute.get("num_gpus") or 0),
            pool_id=str(compute.get("provisioned_capacity_id") or ""),
            usage_policy_id=str(
                document.get("effective_usage_policy_id") or document.get("budget_policy_id") or ""
            ),
            command_path=str(deployment.get("command_path") or container.get("command_path") or ""),
            code_path=str(training.get("code_source_path") or ""),
            sweep=_sweep(tasks[-1]) if tasks else None,
        )

    @property
    def experiment_name(self) -> str:
        """The experiment's name for people: without its directory."""
        return self.experiment.rpartition("/")[2] or self.run.name

    @property
    def accelerators(self) -> str:
        """The accelerators for people, such as ``16x H100``; empty when unknown."""
        name = re.sub(r"^GPU_\d+x", "", self.accelerator_type)
        return f"{self.num_accelerators}x {name}" if name and self.num_accelerators else name

    def accelerator_hours(self, now: int) -> float:
        """Return the time of all accelerators over all attempts.

        :param now: epoch milliseconds, the end of what still runs.
        """
        return self.num_accelerators * self.run.ran_seconds(now) / 3600

    @property
    def launch_directory(self) -> str:
        """The workspace directory with the files of the launch; empty when unknown."""
        folder = self.command_path.rpartition("/")[0]
        # A container's command lies deeper: <launch directory>/containers/<name>/command.sh.
        return re.sub(r"/containers/[^/]+$", "", folder)

    @property
    def times(self) -> tuple[int, int]:
        """Start and end of the latest attempt, or else of the run: epoch milliseconds, 0 for not yet."""
        latest = self.run.latest
        if latest is not None and latest.start_time:
            return latest.start_time, latest.end_time or (self.run.end_time if self.run.is_terminal else 0)
        return self.run.start_time, self.run.end_time

    @property
    def termination_reason(self) -> str | None:
        """Why a run failed, as ``databricks air get`` words it; None for one that did not."""
        if not {self.run.state.result, self.run.state.life_cycle} & {"FAILED", "TIMEDOUT", "INTERNAL_ERROR"}:
            return None
        first = self.run.attempts[0].state.message if self.run.attempts else ""
        said = (self.run.state.reason, self.run.state.message, first)
        return next((text.strip() for text in said if text.strip()), None)


def is_training(document: Mapping[str, Any]) -> bool:
    """Return whether a run is one of AI Runtime: another kind of job has other tasks."""
    tasks = [_training_task(task) for task in _mappings(document.get("tasks"))]
    return any("ai_runtime_task" in task or "gen_ai_compute_task" in task for task in tasks)


def iso_time(milliseconds: int) -> str | None:
    """Return epoch milliseconds as ISO 8601 in UTC; None for 0."""
    if milliseconds <= 0:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat()


def whole_seconds(start: int, end: int, now: int) -> int | None:
    """Return a length of time rounded half to even; None before the start.

    :param start: epoch milliseconds; 0 before the start.
    :param end: epoch milliseconds; 0 until the end.
    :param now: epoch milliseconds.
    """
    return round(((end or now) - start) / 1000) if start > 0 else None


def _training_task(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the task that trains: the one inside a for-each task."""
    return _mapping(_mapping(task, "for_each_task"), "task") or task


def _sweep(task: Mapping[str, Any]) -> Sweep | None:
    if "for_each_task" not in task:
        return None
    stats = _mapping(_mapping(_mapping(task, "for_each_task"), "stats"), "task_run_stats")
    names = ("active", "completed", "failed", "scheduled", "succeeded")
    counts = {name: int(stats.get(f"{name}_iterations") or 0) for name in names}
    return Sweep(int(stats.get("total_iterations") or 0), counts)


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    listed = value if isinstance(value, list) else []
    return (item for item in listed if isinstance(item, Mapping))
