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
"""The state of a run: parsed once, with one table of what is terminal, failed and waiting.

A state that the code does not know is neither terminal nor an error: it is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "KNOWN_LIFE_CYCLES",
    "TERMINAL_LIFE_CYCLES",
    "TERMINAL_RESULTS",
    "Attempt",
    "Run",
    "RunState",
    "parse_run",
]

# Jobs API 2.2, runs/get: either column suffices to call a run finished.
TERMINAL_LIFE_CYCLES = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
TERMINAL_RESULTS = frozenset(
    {
        "SUCCESS",
        "FAILED",
        "CANCELED",
        "TIMEDOUT",
        "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "EXCLUDED",
        "SUCCESS_WITH_FAILURES",
        "UPSTREAM_FAILED",
        "UPSTREAM_CANCELED",
        "DISABLED",
    }
)
WAITING_LIFE_CYCLES = frozenset({"PENDING", "QUEUED", "BLOCKED", "WAITING", "WAITING_FOR_RETRY"})
KNOWN_LIFE_CYCLES = TERMINAL_LIFE_CYCLES | WAITING_LIFE_CYCLES | {"RUNNING", "TERMINATING"}

# What an answer without `result_state` says by its termination code. Every other code of an end is a failure.
_RESULT_BY_CODE = {
    "SUCCESS": "SUCCESS",
    "SUCCESS_WITH_FAILURES": "SUCCESS_WITH_FAILURES",
    "USER_CANCELED": "CANCELED",
    "CANCELED": "CANCELED",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "MAXIMUM_CONCURRENT_RUNS_REACHED",
    "DISABLED": "DISABLED",
    "SKIPPED": "",
}


@dataclass(frozen=True)
class RunState:
    """The state of a run or of one of its attempts, as the Jobs API words it.

    :param life_cycle: ``life_cycle_state``, or the V2 ``status.state`` where the former is absent.
    :param result: ``result_state``, or what the V2 termination code says where the former is absent; empty
        until there is one.
    :param message: ``state_message``.
    :param code: ``status.termination_details.code``; empty until there is one.
    :param reason: ``status.termination_details.message``.
    :param code_type: ``status.termination_details.type``, who is at fault in the service's eyes.
    """

    life_cycle: str = "UNKNOWN"
    result: str = ""
    message: str = ""
    code: str = ""
    reason: str = ""
    code_type: str = ""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self.life_cycle in TERMINAL_LIFE_CYCLES or self.result in TERMINAL_RESULTS

    @property
    def is_success(self) -> bool:
        """Whether the result is called SUCCESS; nothing else is one."""
        return self.result == "SUCCESS"

    @property
    def is_waiting(self) -> bool:
        """Whether no accelerator works yet."""
        return not self.is_terminal and self.life_cycle in WAITING_LIFE_CYCLES

    @property
    def is_known(self) -> bool:
        """Whether the life-cycle word is one that the API documents."""
        return self.life_cycle in KNOWN_LIFE_CYCLES

    @property
    def word(self) -> str:
        """The one word to show: the result where there is one, else the life-cycle state."""
        return self.result or self.life_cycle


@dataclass(frozen=True)
class Attempt:
    """One try of a run by the platform.

    :param number: counted from 0, as the service does; people are told :attr:`ordinal`.
    :param run_id: id of the task run, which ``runs/get-output`` asks for.
    :param state: its own state.
    :param start_time: epoch milliseconds; 0 before the start.
    :param end_time: epoch milliseconds; 0 until the end.
    :param execution_duration: milliseconds that the command ran; 0 until the end, and where it is not told.
    """

    number: int
    run_id: int
    state: RunState
    start_time: int = 0
    end_time: int = 0
    execution_duration: int = 0

    @property
    def ordinal(self) -> int:
        """Which attempt it is, counted from 1."""
        return self.number + 1

    @property
    def seconds(self) -> float | None:
        """How long the command ran, as the service measured it; None until it has ended."""
        if self.execution_duration > 0:
            return self.execution_duration / 1000
        if 0 < self.start_time <= self.end_time:
            return (self.end_time - self.start_time) / 1000
        return None


@dataclass(frozen=True)
class Run:
    """A Jobs run and its attempts.

    :param run_id: id of the run, the same over all attempts.
    :param job_id: id of the one-time job behind it, which permissions ask for.
    :param name: the experiment's name.
    :param state: the state of the whole.
    :param attempts: one per try, oldest first.
    :param max_retries: how often the platform tries again; negative means without limit.
    :param start_time: epoch milliseconds of the run's creation; 0 when unknown.
    :param end_time: epoch milliseconds; 0 until the end.
    :param page_url: the page for people; empty when unknown.
    :param nodes: how many nodes each attempt has.
    :param timeout: seconds after which the platform ends an attempt; 0 for no limit.
    :param accelerator_type: such as ``GPU_8xH100``; empty when unknown.
    :param num_accelerators: over all nodes; 0 when unknown.
    :param code_path: absolute path of the packed code; empty for a run without code.
    :param launch_directory: the workspace directory with the files of the launch; empty when unknown.
    """

    run_id: int
    state: RunState
    attempts: tuple[Attempt, ...] = ()
    job_id: int = 0
    name: str = ""
    max_retries: int = 0
    start_time: int = 0
    end_time: int = 0
    page_url: str = ""
    nodes: int = 1
    timeout: int = 0
    accelerator_type: str = ""
    num_accelerators: int = 0
    code_path: str = ""
    launch_directory: str = ""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self.state.is_terminal

    @property
    def is_success(self) -> bool:
        """Whether the result is called SUCCESS."""
        return self.state.is_success

    @property
    def latest(self) -> Attempt | None:
        """The attempt with the highest number; None before the first."""
        return max(self.attempts, key=lambda attempt: attempt.number, default=None)

    def ran_seconds(self, now: int = 0) -> float:
        """Return how long the command ran, over all attempts.

        :param now: epoch milliseconds, the end of what still runs; 0 leaves that out.
        """
        begun = (one for one in self.attempts if one.start_time and not one.state.is_waiting)
        return sum(
            max(0, now - one.start_time) / 1000 if one.seconds is None else one.seconds for one in begun
        )

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for accelerators: itself, or its latest attempt while it runs."""
        if self.is_terminal:
            return False
        return self.state.is_waiting or (self.latest is not None and self.latest.state.is_waiting)

    @property
    def waiting_since(self) -> int:
        """Epoch milliseconds at which the present wait for accelerators began; 0 when unknown."""
        latest = self.latest
        if latest is None or latest.number == 0:
            return (latest.end_time if latest else 0) or self.start_time
        before = max((one.end_time for one in self.attempts if one is not latest), default=0)
        # Not the run's creation: a wait that has just begun would seem to have lasted for hours.
        return latest.end_time or latest.start_time or before

    @property
    def phase(self) -> str:
        """The one word to show for the run, from its latest attempt while that one waits."""
        if self.is_waiting and not self.state.is_waiting and self.latest is not None:
            return self.latest.state.word
        return self.state.word

    @property
    def failure_reason(self) -> str:
        """The first thing that the server says of a run that ended without success; empty otherwise.

        The message of the latest attempt comes before the generic one of the whole run.
        """
        if not self.is_terminal or self.is_success:
            return ""
        states = [self.latest.state] if self.latest else []
        candidates = [state.reason for state in [*states, self.state]]
        candidates += [state.message for state in [*states, self.state]]
        return next((text.strip() for text in candidates if text.strip()), "the service gave no reason")

    @property
    def code(self) -> str:
        """The termination code, of the run or else of its latest attempt; empty until there is one."""
        return self.state.code or (self.latest.state.code if self.latest else "")

    @property
    def code_type(self) -> str:
        """The type that goes with the termination code; empty until there is one."""
        if self.state.code or self.state.code_type:
            return self.state.code_type
        return self.latest.state.code_type if self.latest else ""


def parse_run(body: Mapping[str, Any]) -> Run:
    """Read an answer of ``runs/get``.

    :raises ValueError: when the answer is not a run.
    """
    if "run_id" not in body:
        raise ValueError("the answer has no run_id")
    tasks = [task for task in _list(body, "tasks") if isinstance(task, Mapping)]
    attempts = sorted((_attempt(task) for task in tasks), key=lambda attempt: attempt.number)
    return Run(
        run_id=int(body["run_id"]),
        state=_state(body),
        attempts=tuple(attempts),
        job_id=_int(body, "job_id"),
        name=str(body.get("run_name") or ""),
        max_retries=_int(tasks[-1], "max_retries") if tasks else 0,
        start_time=_int(body, "start_time"),
        end_time=_int(body, "end_time"),
        page_url=str(body.get("run_page_url") or ""),
        timeout=_int(body, "timeout_seconds"),
        **(_training(tasks[-1]) if tasks else {}),
    )


def _training(task: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an attempt was asked to do; every attempt is asked the same."""
    training = _mapping(task, "ai_runtime_task")
    deployment = next((each for each in _list(training, "deployments") if isinstance(each, Mapping)), {})
    containers = [each for each in _list(deployment, "containers") if isinstance(each, Mapping)]
    command = next((each["command_path"] for each in [deployment, *containers] if "command_path" in each), "")
    compute = _mapping(deployment, "compute")
    accelerator, count = str(compute.get("accelerator_type") or ""), _int(compute, "accelerator_count")
    # The type says how many accelerators a node has: GPU_8xH100.
    per_node = re.match(r"GPU_(\d+)x", accelerator)
    return {
        "nodes": max(1, count // max(1, int(per_node.group(1)))) if per_node else 1,
        "accelerator_type": accelerator,
        "num_accelerators": count,
        "code_path": str(training.get("code_source_path") or ""),
        # A container's command lies deeper: <launch directory>/containers/<name>/command.sh.
        "launch_directory": str(command).rpartition("/")[0].partition("/containers/")[0],
    }


def _attempt(task: Mapping[str, Any]) -> Attempt:
    return Attempt(
        number=_int(task, "attempt_number"),
        run_id=_int(task, "run_id"),
        state=_state(task),
        start_time=_int(task, "start_time"),
        end_time=_int(task, "end_time"),
        execution_duration=_int(task, "execution_duration"),
    )


def _state(body: Mapping[str, Any]) -> RunState:
    state = _mapping(body, "state")
    status = _mapping(body, "status")
    details = _mapping(status, "termination_details")
    life_cycle = str(state.get("life_cycle_state") or status.get("state") or "UNKNOWN")
    code = str(details.get("code") or "")
    return RunState(
        life_cycle=life_cycle,
        result=str(state.get("result_state") or _result_of(life_cycle, code)),
        message=str(state.get("state_message") or ""),
        code=code,
        reason=str(details.get("message") or ""),
        code_type=str(details.get("type") or ""),
    )


def _result_of(life_cycle: str, code: str) -> str:
    """Return the result of an answer that names none but has ended with a code."""
    return _RESULT_BY_CODE.get(code, "FAILED") if life_cycle == "TERMINATED" and code else ""


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    return value if isinstance(value, list) else []


def _int(body: Mapping[str, Any], key: str) -> int:
    # int64 fields may arrive as JSON strings.
    value = body.get(key)
    return int(value) if isinstance(value, int | str) and str(value).lstrip("-").isdigit() else 0
