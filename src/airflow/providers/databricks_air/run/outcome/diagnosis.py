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
"""Why a run failed, as far as its last lines and its termination code tell; and whether to try again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["CauseKind", "Diagnosis", "deserves_retry", "diagnose", "kind_of_failure", "parse_retry_on"]


class CauseKind(str, Enum):
    """Who must act before the same run can end well."""

    INFRASTRUCTURE = "infrastructure"
    """Nobody: hardware, network or the service failed."""
    CAPACITY = "capacity"
    """Nobody, but it takes time: there were not enough accelerators or a limit was reached."""
    TIMEOUT = "timeout"
    """The author: it did not end in its time."""
    USER_CODE = "user_code"
    """The author: the training code or its dependencies failed."""
    CONFIGURATION = "configuration"
    """The author or an administrator: the run was not allowed or not possible as asked for."""
    CANCELLED = "cancelled"
    """Somebody ended it on purpose."""
    UNKNOWN = "unknown"
    """It cannot be told."""


class Diagnosis(NamedTuple):
    """A recognised cause.

    :param cause: what happened, a few words.
    :param hint: what to do about it, one line.
    :param kind: who must act.
    :param line: the line of the log that gave it away.
    """

    cause: str
    hint: str
    kind: CauseKind
    line: str = ""


class _Pattern(NamedTuple):
    expression: re.Pattern[str]
    cause: str
    hint: str
    kind: CauseKind


def _pattern(expression: str, cause: str, hint: str, kind: CauseKind) -> _Pattern:
    return _Pattern(re.compile(expression), cause, hint, kind)


_USER, _INFRA = CauseKind.USER_CODE, CauseKind.INFRASTRUCTURE

# The first pattern that any line matches wins: what explains comes before what merely follows from it.
_PATTERNS = (
    _pattern(
        r"CUDA out of memory|CUDA error: out of memory|torch(?:\.cuda)?\.OutOfMemoryError",
        "CUDA out of memory",
        "reduce the batch size or the sequence length, use gradient checkpointing, or more accelerators",
        _USER,
    ),
    _pattern(
        r"\bXid(?: \(PCI:[^)]*\))?[:\s]+(?:48|63|64|79|94|95)\b",
        "a GPU reported a hardware error (Xid)",
        "the accelerator is at fault, not the code; run it again",
        _INFRA,
    ),
    _pattern(
        r"(?i)\boom[-_ ]?kill|out of memory: kill(?:ed)? process|memory cgroup out of memory",
        "the node ran out of main memory and the process was killed",
        "use fewer data loader workers, a smaller prefetch or cache, or more nodes",
        _USER,
    ),
    _pattern(
        r"(?i)illegal memory access",
        "a CUDA kernel accessed memory that is not its own",
        "set CUDA_LAUNCH_BLOCKING=1 in env_variables to find the operation",
        _USER,
    ),
    _pattern(
        r"CUDA(?: runtime)? error|device-side assert",
        "a CUDA operation failed",
        "set CUDA_LAUNCH_BLOCKING=1 in env_variables to find the operation",
        _USER,
    ),
    _pattern(
        r"(?i)watchdog caught collective operation timeout|collective operation timeout",
        "a collective operation timed out: one rank is slow, stuck or gone",
        "look at the other nodes' logs (log_nodes='all') for the rank that stopped first",
        _INFRA,
    ),
    _pattern(
        r"NCCL WARN.*(?:Conn|Net|IB|[Tt]imeout|[Tt]imed out|[Uu]nhandled)|net_ib\.cc.*WARN"
        r"|(?i:nccl ?error|ncclSystemError|ncclInternalError|ncclRemoteError|async(?:hronous)? error event)",
        "the nodes or GPUs could not talk to each other (NCCL)",
        "often passes on another try; set NCCL_DEBUG=INFO in env_variables if it comes back",
        _INFRA,
    ),
    _pattern(
        r"(?i)(?:TCPStore|c10d|rendezvous|\bstore\b).*(?:timed out|timeout)|RendezvousTimeout",
        "the nodes did not find each other in time",
        "check that every node reaches init_process_group, and its timeout",
        _INFRA,
    ),
    _pattern(
        r"(?i)segmentation fault|SIGSEGV",
        "the process crashed in native code (segmentation fault)",
        "check that the compiled dependencies match the environment's versions",
        _USER,
    ),
    _pattern(
        r"\bcommand not found\b|: not found$",
        "the command uses a program that is not installed",
        "add it to environment.dependencies, or correct its name in command",
        _USER,
    ),
    _pattern(
        r"ModuleNotFoundError: No module named|ImportError: ",
        "a Python module is missing or does not fit",
        "add it to environment.dependencies, or to code_source.include_paths if it is your own",
        _USER,
    ),
    _pattern(
        r"(?i)no space left on device",
        "the node's disk is full",
        "write checkpoints to a volume and delete old ones",
        _USER,
    ),
    _pattern(
        r"(?i)streaming.*(?:shard|dataset|download).*(?:error|fail|timed? ?out)"
        r"|(?:shard|dataset).*streaming.*(?:error|fail)",
        "the streaming dataset could not be read",
        "check the path and the permissions of the data, and the local cache's disk",
        _USER,
    ),
    _pattern(
        r"(?i)mlflow.*(?:stall|hang|timed out)",
        "the MLflow logger stalled",
        "log less often, or asynchronously",
        _INFRA,
    ),
    _pattern(
        r"(?i)signal 9\b|\bSIGKILL\b|^(?:.*: line \d+:\s+\d+ )?Killed(?:$|\s{2,})|exitcode\s*: -9\b",
        "the process was killed (SIGKILL)",
        "most often main memory: use fewer data loader workers or a smaller cache",
        _USER,
    ),
    _pattern(
        r"\bSIGTERM\b|signal 15\b",
        "the process was told to stop (SIGTERM)",
        "another rank ended first or the node was taken away; see the other nodes' logs",
        _INFRA,
    ),
    _pattern(
        r"ChildFailedError|torch\.distributed\.\w+.*[Ee]rror|composer\.\w+.*(?:[Ee]rror|[Ff]ailed)",
        "a rank of the distributed training failed",
        "the first traceback above is the cause; what follows are its echoes",
        _USER,
    ),
    _pattern(
        r"^Traceback \(most recent call last\)",
        "the training code raised an exception",
        "see the traceback in the log",
        _USER,
    ),
    _pattern(
        r"ERROR: Script failed with exit code [1-9]\d* after",
        "the command ended with an error",
        "see the lines before it in the log",
        _USER,
    ),
)

_BY_CODE = {
    **dict.fromkeys(
        ("INTERNAL_ERROR", "DRIVER_ERROR", "CLUSTER_ERROR", "STORAGE_ACCESS_ERROR", "CLOUD_FAILURE"),
        CauseKind.INFRASTRUCTURE,
    ),
    **dict.fromkeys(
        (
            "WORKSPACE_RUN_LIMIT_EXCEEDED",
            "CLUSTER_REQUEST_LIMIT_EXCEEDED",
            "MAX_CONCURRENT_RUNS_EXCEEDED",
            "MAX_SPARK_CONTEXTS_EXCEEDED",
            "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        ),
        CauseKind.CAPACITY,
    ),
    **dict.fromkeys(("RUN_EXECUTION_ERROR", "LIBRARY_INSTALLATION_ERROR"), CauseKind.USER_CODE),
    **dict.fromkeys(
        (
            "REPOSITORY_CHECKOUT_FAILED",
            "INVALID_CLUSTER_REQUEST",
            "FEATURE_DISABLED",
            "UNAUTHORIZED_ERROR",
            "RESOURCE_NOT_FOUND",
            "INVALID_RUN_CONFIGURATION",
            "DISABLED",
            "BREAKING_CHANGE",
            "BUDGET_POLICY_LIMIT_EXCEEDED",
        ),
        CauseKind.CONFIGURATION,
    ),
    **dict.fromkeys(("USER_CANCELED", "CANCELED"), CauseKind.CANCELLED),
}
_BY_RESULT = {
    "TIMEDOUT": CauseKind.TIMEOUT,
    "CANCELED": CauseKind.CANCELLED,
    "UPSTREAM_CANCELED": CauseKind.CANCELLED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": CauseKind.CAPACITY,
}
_CAPACITY = re.compile(r"(?i)\bcapacity\b|insufficient|stock-?out|\bquota\b|out of (?:gpu|accelerator)s?\b")


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """Return the most telling cause that the lines show, or None.

    :param lines: the last lines of a failed node, oldest first.
    """
    texts = list(lines)
    for pattern in _PATTERNS:
        line = next((text for text in texts if pattern.expression.search(text)), None)
        if line is not None:
            return Diagnosis(pattern.cause, pattern.hint, pattern.kind, line)
    return None


def kind_of_failure(run: Run, diagnosis: Diagnosis | None = None) -> CauseKind:
    """Return who must act on a run that ended without success.

    :param run: the run, terminal.
    :param diagnosis: what its last lines show; believed before the code RUN_EXECUTION_ERROR, which says
        only that the command failed.
    """
    by_result = _BY_RESULT.get(run.state.result)
    if by_result is not None:
        return by_result
    by_code = _BY_CODE.get(run.code, CauseKind.UNKNOWN)
    if by_code in {CauseKind.USER_CODE, CauseKind.UNKNOWN} and diagnosis is not None:
        return diagnosis.kind
    if by_code is not CauseKind.USER_CODE and _CAPACITY.search(run.failure_reason):
        return CauseKind.CAPACITY
    return by_code


def parse_retry_on(causes: Collection[str] | None) -> frozenset[CauseKind] | None:
    """Return the kinds that an author listed; None stays None.

    :raises ValueError: when one of them is not a kind, with the ones there are.
    """
    if causes is None:
        return None
    known = {kind.value: kind for kind in CauseKind}
    listed = [causes] if isinstance(causes, str) else list(causes)
    wrong = [str(cause) for cause in listed if cause not in known]
    if wrong:
        raise ValueError(
            f"retry_on: {', '.join(map(repr, wrong))} is not a cause; choose from {', '.join(known)}"
        )
    return frozenset(known[cause] for cause in listed)


def deserves_retry(kind: CauseKind, retry_on: Collection[CauseKind] | None) -> bool:
    """Return whether Airflow may try again.

    :param kind: why the run failed. What cannot be told is tried again: a guess must not end a task.
    :param retry_on: the kinds worth another try; None for every one.
    """
    return retry_on is None or kind is CauseKind.UNKNOWN or kind in retry_on
