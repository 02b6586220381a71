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
"""Runs and attempts: what is kept of them, and how the Jobs API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAILED_MESSAGE", "TERMINAL_STATES", "Attempt", "Run", "run_json"]

TERMINAL_STATES = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")

FAILED_MESSAGE = "Workload failed, see run output for details"
_V2_STATES = {"WAITING_FOR_RETRY": "WAITING", "INTERNAL_ERROR": "TERMINATED", "SKIPPED": "TERMINATED"}
# The Jobs API documents CANCELED as "canceled by the platform, for example when the maximum duration was
# exceeded", USER_CANCELED as canceled by a person, RUN_EXECUTION_ERROR as a failure of the command.
_CODES = {
    "SUCCESS": ("SUCCESS", "SUCCESS"),
    "FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "TIMEDOUT": ("CANCELED", "CLIENT_ERROR"),
    "CANCELED": ("USER_CANCELED", "SUCCESS"),
}


@dataclass
class Attempt:
    """One try of a run.

    :param run_id: the task run id.
    :param number: 0 for the first.
    :param life: life-cycle state.
    :param result: result state, empty until the end.
    :param message: state message.
    :param status: the text after ``STATUS:`` in the run output, while waiting.
    :param created: milliseconds since the epoch.
    :param started: when the command began; 0 before.
    :param ended: 0 before.
    :param experiment_id: MLflow experiment, once the attempt started.
    :param mlflow_run_id: MLflow run, once the attempt started.
    :param code: termination code, when it is not the usual one of the result.
    :param queue_code: why it is queued.
    """

    run_id: int
    number: int
    life: str = "PENDING"
    result: str = ""
    message: str = ""
    status: str = ""
    created: int = 0
    started: int = 0
    ended: int = 0
    experiment_id: str = ""
    mlflow_run_id: str = ""
    code: str = ""
    queue_code: str = ""


@dataclass
class Run:
    """A run as submitted and what became of it.

    :param body: the submit body.
    :param user: who submitted it.
    :param created: milliseconds since the epoch.
    :param plan: what a test said that this run does, instead of its command.
    :param cancelled: somebody asked for its end.
    :param deleted: hidden from every read; its idempotency token stays taken.
    """

    run_id: int
    job_id: int
    body: dict[str, Any]
    user: str
    created: int
    attempts: list[Attempt] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    deleted: bool = False

    @property
    def task(self) -> dict[str, Any]:
        """Return the one task of the submit body."""
        task: dict[str, Any] = self.body["tasks"][0]
        return task

    @property
    def air(self) -> dict[str, Any]:
        """Return the ``ai_runtime_task``."""
        air: dict[str, Any] = self.task["ai_runtime_task"]
        return air

    @property
    def experiment(self) -> str:
        """Return the experiment's name."""
        return str(self.air["experiment"])

    @property
    def max_retries(self) -> int:
        """Return how many attempts may follow the first; negative for no end."""
        return int(self.task.get("max_retries") or 0)

    @property
    def timeout(self) -> float:
        """Return the seconds that one attempt may take; 0 for no end."""
        return float(self.body.get("timeout_seconds") or self.task.get("timeout_seconds") or 0)

    @property
    def last(self) -> Attempt:
        """Return the newest attempt."""
        return self.attempts[-1]

    @property
    def active(self) -> bool:
        """Return whether it has not ended."""
        return self.life not in TERMINAL_STATES

    @property
    def life(self) -> str:
        """Return the run's life-cycle state: a failed task is an ``INTERNAL_ERROR`` of its run."""
        life = self.last.life
        if life == "WAITING_FOR_RETRY" or (self.last.number and life in {"PENDING", "QUEUED"}):
            return "RUNNING"
        return "INTERNAL_ERROR" if life == "TERMINATED" and self.last.result == "FAILED" else life

    def to_document(self) -> dict[str, Any]:
        """Return the run for the store, which writes it at once: nothing is copied."""
        return {**vars(self), "attempts": [vars(attempt) for attempt in self.attempts]}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Run:
        """Return the run that was stored."""
        attempts = [Attempt(**attempt) for attempt in document.pop("attempts")]
        return cls(attempts=attempts, **document)


def run_json(run: Run, host: str, workspace_id: int, *, tasks: bool = True) -> dict[str, Any]:
    """Return a run as ``runs/get`` and ``runs/list`` show it.

    :param tasks: with its attempts.
    """
    first, last = run.attempts[0], run.last
    ended = 0 if run.active else last.ended
    message = _run_message(run)
    url = f"{host}/jobs/runs/{run.run_id}?o={workspace_id}"
    shown: dict[str, Any] = {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "job_run_id": run.run_id,
        "number_in_job": run.run_id,
        "original_attempt_run_id": run.run_id,
        "creator_user_name": run.user,
        "run_name": run.body.get("run_name") or "Untitled",
        "run_type": "SUBMIT_RUN",
        "trigger": "ONE_TIME",
        "format": "MULTI_TASK",
        "run_page_url": url,
        **_states(run.life, last, message),
        **_times(run.created, first.started, ended),
    }
    policy = run.body.get("budget_policy_id") or run.body.get("usage_policy_id")
    if policy:
        shown["effective_usage_policy_id"] = policy
    if run.body.get("timeout_seconds"):
        shown["timeout_seconds"] = run.body["timeout_seconds"]
    if tasks:
        shown["tasks"] = [_task_json(run, attempt, host, workspace_id) for attempt in run.attempts]
        shown["environments"] = run.body.get("environments", [])
    return shown


def _run_message(run: Run) -> str:
    if run.last.result == "FAILED" and not run.active:
        return f"Task {run.task['task_key']} failed with message: {run.last.message}."
    return run.last.message


def _task_json(run: Run, attempt: Attempt, host: str, workspace_id: int) -> dict[str, Any]:
    air = dict(run.air, experiment=f"/Users/{run.user}/{run.experiment}")
    shown: dict[str, Any] = {
        "run_id": attempt.run_id,
        "task_key": run.task["task_key"],
        "attempt_number": attempt.number,
        "max_retries": run.max_retries,
        "run_if": run.task.get("run_if", "ALL_SUCCESS"),
        "environment_key": run.task.get("environment_key"),
        "ai_runtime_task": air,
        "run_page_url": f"{host}/jobs/runs/{attempt.run_id}?o={workspace_id}",
        **_states(attempt.life, attempt, attempt.message),
        **_times(attempt.created, attempt.started, attempt.ended),
    }
    if run.task.get("retry_on_timeout"):
        shown["retry_on_timeout"] = True
    return shown


def _states(life: str, attempt: Attempt, message: str) -> dict[str, Any]:
    result = attempt.result if life in TERMINAL_STATES else ""
    state: dict[str, Any] = {"life_cycle_state": life, "state_message": message}
    status: dict[str, Any] = {"state": _V2_STATES.get(life, life)}
    if result:
        state["result_state"] = result
        state["user_cancelled_or_timedout"] = result in {"CANCELED", "TIMEDOUT"}
        code, kind = _CODES.get(result, ("INTERNAL_ERROR", "INTERNAL_ERROR"))
        status["termination_details"] = {"code": attempt.code or code, "type": kind, "message": message}
    if life == "QUEUED":
        state["queue_reason"] = message
        status["queue_details"] = {
            "code": attempt.queue_code or "ACTIVE_RUNS_LIMIT_REACHED",
            "message": message,
        }
    return {"state": state, "status": status}


def _times(created: int, started: int, ended: int) -> dict[str, int]:
    times = {"start_time": created, "end_time": ended}
    if ended:
        times["run_duration"] = ended - created
        times["setup_duration"] = (started or ended) - created
        times["execution_duration"] = ended - started if started else 0
        times["cleanup_duration"] = 0
        times["queue_duration"] = 0
    return times
