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
"""Runs as the Jobs API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.state.runs import TERMINAL_STATES, Attempt, Run

if TYPE_CHECKING:
    from databricks_air_local.state.site import Site

__all__ = ["run_json"]

_V2_STATES = {"WAITING_FOR_RETRY": "WAITING", "INTERNAL_ERROR": "TERMINATED", "SKIPPED": "TERMINATED"}
# The Jobs API documents CANCELED as "canceled by the platform, for example when the maximum duration was
# exceeded", USER_CANCELED as canceled by a person, RUN_EXECUTION_ERROR as a failure of the command.
_CODES = {
    "SUCCESS": "SUCCESS",
    "FAILED": "RUN_EXECUTION_ERROR",
    "TIMEDOUT": "CANCELED",
    "CANCELED": "USER_CANCELED",
}
# The types that the Jobs API documents; every other code is the client's error.
_TYPES = {
    **dict.fromkeys(("SUCCESS", "USER_CANCELED"), "SUCCESS"),
    **dict.fromkeys(("INTERNAL_ERROR", "DRIVER_ERROR", "RUN_LIFECYCLE_ERROR"), "INTERNAL_ERROR"),
    **dict.fromkeys(("CLOUD_FAILURE", "CLUSTER_ERROR", "SPOT_INSTANCE_TERMINATION"), "CLOUD_FAILURE"),
}


def run_json(run: Run, site: Site, *, tasks: bool = True) -> dict[str, Any]:
    """Return a run as ``runs/get`` and ``runs/list`` show it.

    :param tasks: with its attempts.
    """
    first, last = run.attempts[0], run.last
    ended = 0 if run.active else run.ended or last.ended
    code = "" if run.outcome else last.code
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
        "run_page_url": site.run_page(run.run_id),
        **_states(run.life, run.result, _run_message(run), code, last.queue_code),
        **_times(run.created, first.started, ended),
    }
    policy = run.body.get("budget_policy_id") or run.body.get("usage_policy_id")
    if policy:
        shown["effective_usage_policy_id"] = policy
    if run.body.get("timeout_seconds"):
        shown["timeout_seconds"] = run.body["timeout_seconds"]
    if tasks:
        shown["tasks"] = [_task_json(run, attempt, site) for attempt in run.attempts]
        shown["environments"] = run.body.get("environments", [])
    return shown


def _run_message(run: Run) -> str:
    if run.outcome:
        return "Run cancelled."
    if run.last.result == "FAILED" and not run.active:
        return f"Task {run.task['task_key']} failed with message: {run.last.message}."
    return run.last.message


def _task_json(run: Run, attempt: Attempt, site: Site) -> dict[str, Any]:
    air = dict(run.air, experiment=f"/Users/{run.user}/{run.experiment}")
    shown: dict[str, Any] = {
        "run_id": attempt.run_id,
        "task_key": run.task["task_key"],
        "attempt_number": attempt.number,
        "max_retries": run.max_retries,
        "run_if": run.task.get("run_if", "ALL_SUCCESS"),
        "environment_key": run.task.get("environment_key"),
        "ai_runtime_task": air,
        "run_page_url": site.run_page(attempt.run_id),
        **_states(attempt.life, attempt.result, attempt.message, attempt.code, attempt.queue_code),
        **_times(attempt.created, attempt.started, attempt.ended),
    }
    if not attempt.started:
        del shown["start_time"]
    if run.task.get("retry_on_timeout"):
        shown["retry_on_timeout"] = True
    return shown


def _states(life: str, result: str, message: str, code: str, queue_code: str) -> dict[str, Any]:
    state: dict[str, Any] = {"life_cycle_state": life, "state_message": message}
    status: dict[str, Any] = {"state": _V2_STATES.get(life, life)}
    if result and life in TERMINAL_STATES:
        state["result_state"] = result
        state["user_cancelled_or_timedout"] = result in {"CANCELED", "TIMEDOUT"}
        code = code or _CODES.get(result, "INTERNAL_ERROR")
        kind = _TYPES.get(code, "CLIENT_ERROR")
        status["termination_details"] = {"code": code, "type": kind, "message": message}
    if life == "QUEUED":
        state["queue_reason"] = message
        status["queue_details"] = {
            "code": queue_code or "ACTIVE_RUNS_LIMIT_REACHED",
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
