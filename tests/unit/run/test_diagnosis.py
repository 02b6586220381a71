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
"""What the last lines and the termination code say about a failure."""

from __future__ import annotations

import pytest

from airflow.providers.databricks_air.run.outcome.diagnosis import (
    CauseKind,
    deserves_retry,
    diagnose,
    kind_of_failure,
    parse_retry_on,
)
from airflow.providers.databricks_air.run.outcome.states import Run, RunState


@pytest.mark.parametrize(
    ("line", "cause", "kind"),
    [
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total",
            "CUDA out of memory",
            CauseKind.USER_CODE,
        ),
        (
            "[rank3]:[E] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=42)",
            "collective operation timed out",
            CauseKind.INFRASTRUCTURE,
        ),
        (
            "node-1:412:980 [3] NCCL WARN NET/IB : Got completion with error 12, opcode 0",
            "NCCL",
            CauseKind.INFRASTRUCTURE,
        ),
        ("net_ib.cc:1295 NCCL WARN NET/IB : poll failed", "NCCL", CauseKind.INFRASTRUCTURE),
        ("[E] ProcessGroupNCCL.cpp:1025] NCCL async error event", "NCCL", CauseKind.INFRASTRUCTURE),
        (
            "NVRM: Xid (PCI:0000:53:00): 79, pid='<unknown>', GPU has fallen off the bus.",
            "Xid",
            CauseKind.INFRASTRUCTURE,
        ),
        (
            "kernel: Out of memory: Killed process 4711 (python) total-vm:812345kB",
            "main memory",
            CauseKind.USER_CODE,
        ),
        ("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)", "main memory", CauseKind.USER_CODE),
        (
            "/tmp/command.sh: line 3:   412 Killed                  python train.py",
            "SIGKILL",
            CauseKind.USER_CODE,
        ),
        ("Killed", "SIGKILL", CauseKind.USER_CODE),
        ("Signal 9 (SIGKILL) received by PID 412", "SIGKILL", CauseKind.USER_CODE),
        (
            "torch.distributed.elastic: Received Signals.SIGTERM death signal",
            "SIGTERM",
            CauseKind.INFRASTRUCTURE,
        ),
        (
            "RuntimeError: CUDA error: an illegal memory access was encountered",
            "not its own",
            CauseKind.USER_CODE,
        ),
        ("RuntimeError: CUDA error: device-side assert triggered", "CUDA operation", CauseKind.USER_CODE),
        ("Segmentation fault (core dumped)", "segmentation fault", CauseKind.USER_CODE),
        ("/tmp/command.sh: line 1: torchrunn: command not found", "not installed", CauseKind.USER_CODE),
        ("ModuleNotFoundError: No module named 'flash_attn'", "module", CauseKind.USER_CODE),
        (
            "torch.distributed.DistStoreError: Timed out after 601 seconds (TCPStore timeout)",
            "find each other",
            CauseKind.INFRASTRUCTURE,
        ),
        ("streaming.base.util: shard download failed after 3 retries", "streaming", CauseKind.USER_CODE),
        ("composer.trainer.trainer: Error: exception in the fit loop", "a rank", CauseKind.USER_CODE),
        ("MLflow logger stalled for 300 s", "MLflow", CauseKind.INFRASTRUCTURE),
        ("ERROR: Script failed with exit code 3 after 12s", "ended with an error", CauseKind.USER_CODE),
    ],
)
def test_a_fatal_line_is_recognised(line: str, cause: str, kind: CauseKind) -> None:
    """Each kind of fatal line gives a cause, a hint of one line and who must act."""
    found = diagnose(["epoch 1 loss 0.5", line, "bye"])

    assert found is not None
    assert cause in found.cause
    assert kind is found.kind
    assert line == found.line
    assert found.hint
    assert "\n" not in found.hint


@pytest.mark.parametrize(
    "line",
    [
        "epoch 3: loss=0.41 lr=1e-4",
        "ERROR: Script failed with exit code 0 after 12s",
        "saving to the checkpoint store took 3 s",
        "Killed the time with 12 warm-up steps",
        "NCCL version 2.21.5+cuda12.4",
        "this took longer than the process group timeout of the docs",
        "Xid 31 is harmless here",
    ],
)
def test_an_ordinary_line_is_no_cause(line: str) -> None:
    """Words that only sound fatal give nothing."""
    assert diagnose([line]) is None


def test_the_cause_is_told_before_its_echoes() -> None:
    """Out of memory on the first rank explains the signal and the script error that follow it."""
    found = diagnose(
        [
            "Traceback (most recent call last):",
            "torch.OutOfMemoryError: CUDA out of memory.",
            "Sending process 12 closing signal SIGTERM",
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:",
            "ERROR: Script failed with exit code 1 after 90s",
        ]
    )

    assert found is not None
    assert found.cause == "CUDA out of memory"


def _failed(result: str = "FAILED", code: str = "", reason: str = "") -> Run:
    return Run(1, RunState("INTERNAL_ERROR", result, code=code, reason=reason))


@pytest.mark.parametrize(
    ("run", "last_line", "kind"),
    [
        (_failed(code="RUN_EXECUTION_ERROR"), "", CauseKind.USER_CODE),
        (_failed(code="RUN_EXECUTION_ERROR"), "NCCL WARN NET/IB timeout", CauseKind.INFRASTRUCTURE),
        (_failed(code="CLOUD_FAILURE"), "Traceback (most recent call last):", CauseKind.INFRASTRUCTURE),
        (_failed(code="CLOUD_FAILURE", reason="Insufficient GPU capacity"), "", CauseKind.CAPACITY),
        (_failed(code="WORKSPACE_RUN_LIMIT_EXCEEDED"), "", CauseKind.CAPACITY),
        (_failed("TIMEDOUT", "RUN_EXECUTION_ERROR"), "CUDA out of memory", CauseKind.TIMEOUT),
        (_failed("CANCELED", "USER_CANCELED"), "", CauseKind.CANCELLED),
        (_failed(code="BUDGET_POLICY_LIMIT_EXCEEDED"), "", CauseKind.CONFIGURATION),
        (_failed(code="A_CODE_OF_TOMORROW"), "", CauseKind.UNKNOWN),
    ],
)
def test_a_failure_has_a_kind(run: Run, last_line: str, kind: CauseKind) -> None:
    """The result and the code decide; the log decides where they only say that the command failed."""
    assert kind is kind_of_failure(run, diagnose([last_line]))


def test_retry_on_chooses_by_kind() -> None:
    """A listed kind is tried again, another is not, an unknown one is, and without a list everything is."""
    chosen = parse_retry_on({"infrastructure", "capacity"})

    assert deserves_retry(CauseKind.CAPACITY, chosen)
    assert not deserves_retry(CauseKind.USER_CODE, chosen)
    assert deserves_retry(CauseKind.UNKNOWN, chosen)
    assert deserves_retry(CauseKind.USER_CODE, parse_retry_on(None))


def test_a_cause_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """A typo in retry_on names itself and the choices."""
    with pytest.raises(ValueError, match=r"retry_on: 'infra' is not a cause; choose from infrastructure, "):
        parse_retry_on(["infra"])
