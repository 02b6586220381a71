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
"""What the last lines of a failed node say, and who must act."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from airflow.providers.databricks_air.run.outcome.causes.cause import (
    CauseKind,
    deserves_retry,
    parse_retry_on,
)
from airflow.providers.databricks_air.run.outcome.causes.diagnosis import diagnose, kind_of_failure
from airflow.providers.databricks_air.run.outcome.states import Run, RunState
from tests.unit.run.outcome.causes.corpus import Ending, benign_lines, endings

ENDINGS = endings()
BENIGN = benign_lines()
MLFLOW_NOISE = "INFO mlflow.system_metrics: GPU metrics are off, pynvml is not installed"
TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/databricks/code_source/project/train.py", line 41, in main',
    '    rate = settings["lr"]',
    "           ~~~~~~~~^^^^^^",
    "KeyError: 'lr'",
]


def _table(found: Counter[tuple[str, str | None]]) -> str:
    """Return the confusion table: cause that a person names, cause that was found, how often."""
    rows = [
        f"{named:20} {cause or 'unknown':20} {count:4}"
        for (named, cause), count in sorted(found.items(), key=str)
    ]
    return "\n".join(["named                found                count", *rows])


def test_no_ending_gets_a_wrong_cause() -> None:
    """Over all endings the cause is the one that a person names, or none; a failure shows the table."""
    found = Counter(
        (ending.cause, cause.name if (cause := diagnose(ending.lines)) else None) for ending in ENDINGS
    )
    table = _table(found)
    wrong = [pair for pair in found if pair[1] is not None and pair[0] != pair[1]]
    unknown = sum(count for (_, cause), count in found.items() if cause is None)

    assert len(ENDINGS) >= 150
    assert not wrong, table
    assert unknown <= len(ENDINGS) // 20, table


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.cause)
def test_the_fact_is_what_the_program_said(ending: Ending) -> None:
    """Each ending gives one line of fact, as the program put it."""
    found = diagnose(ending.lines)

    assert found is not None
    assert found.fact.startswith(ending.fact)
    assert "\n" not in found.fact + found.hint


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.cause)
def test_lines_that_mean_nothing_change_nothing(ending: Ending) -> None:
    """The same cause is found behind a log full of words that only sound fatal."""
    lines = ending.lines

    found, alone = diagnose([*BENIGN, *lines]), diagnose(lines)

    assert found is not None
    assert alone is not None
    assert found[:4] == alone[:4]


def test_an_ordinary_line_is_no_cause() -> None:
    """Words that only sound fatal give nothing, each alone and all together."""
    assert len(BENIGN) >= 300
    assert [line for line in BENIGN if diagnose([line])] == []
    assert diagnose(BENIGN) is None


def test_a_logger_that_is_not_installed_is_no_stall() -> None:
    """A traceback behind 'pynvml is not installed' is the cause, and its exception the fact."""
    found = diagnose([MLFLOW_NOISE, *TRACEBACK])

    assert found is not None
    assert found.fact == "KeyError: 'lr' at train.py:41 (main)"
    assert found.kind is CauseKind.USER_CODE


def test_a_file_that_is_not_found_is_no_missing_program() -> None:
    """Only a shell's own words tell that a program is not installed."""
    assert diagnose(["ckpt.pt: not found"]) is None


def test_a_store_with_a_timeout_is_no_failed_rendezvous() -> None:
    """The arguments of init_process_group in a log are no error."""
    assert diagnose(["init_process_group(store=TCPStore, timeout=0:30:00)"]) is None


def test_insufficient_privileges_are_no_lack_of_capacity() -> None:
    """The service's code comes before words in its message."""
    run = _failed(code="UNAUTHORIZED_ERROR", reason="User has insufficient privileges on the pool")

    assert kind_of_failure(run) is CauseKind.CONFIGURATION


ADVERSARIAL = (
    "x",
    "streaming shard download ",
    "Epoch ",
    "[rank0]: ",
    "Traceback (most recent call last):",
    'a.File "a", line 1, in ',
    "NCCL WARN NET/IB : ",
    "a.b",
    " ",
    "0",
    "kernel: ",
    "CUDA out of memory. ",
    "error: argument ",
    "Killed  ",
    "sh: 1: ",
    "/a: line 1: ",
    "Xid (PCI:0000:",
    "no available gpu ",
    "No space left on device",
    "loss ",
    "exitcode : ",
    "\x1b[0;",
    "[1]: [2]: (pid=3) ",
)


@pytest.mark.parametrize("body", ADVERSARIAL)
def test_the_time_grows_with_the_length_of_the_log_and_no_faster(body: str) -> None:
    """200 lines of 16 KB from each of 64 nodes take less than half a second of one processor."""
    lines = [(body * (16_384 // len(body) + 1))[:16_384]] * 200

    started = time.process_time()
    for _ in range(64):
        diagnose(lines)

    # Half a second on a quiet machine; a busy one, and the oldest Python, take longer for the same work.
    assert time.process_time() - started < 1.5


def test_what_was_handled_is_no_cause() -> None:
    """A traceback after which the training went on for some steps did not end it."""
    steps = [f"step {number} loss=0.5" for number in range(5)]

    found = diagnose([*TRACEBACK, *steps, "ERROR: Script failed with exit code 3 after 12s"])

    assert found is not None
    assert found.fact == "The command ended with exit code 3 after 12s"


def test_a_warning_with_a_traceback_is_no_cause() -> None:
    """A traceback that a logger prints below a warning, or Python at its own end, says nothing."""
    warning = "2026-03-01 10:00:00 WARNING data: sample left out"
    assert diagnose([warning, *TRACEBACK, "2026-03-01 10:00:01 INFO data: all read"]) is None
    assert diagnose(["Exception ignored in: <function Pool.__del__ at 0x7f>", *TRACEBACK]) is None


def test_the_rank_that_failed_first_is_told() -> None:
    """Of several ranks that write into one log, the one whose last words come first counts."""
    first = [f"[rank3]: {line}" for line in TRACEBACK]
    second = [f"[rank1]: {line}".replace("'lr'", "'other'") for line in TRACEBACK]

    found = diagnose([*first, *second])

    assert found is not None
    assert found.fact.startswith("KeyError: 'lr'")


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
    assert found.name == "cuda_memory"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (3, "The command ended with exit code 3 after 2s"),
        (126, "The command ended with exit code 126 (a program cannot be executed) after 2s"),
        (127, "The command ended with exit code 127 (a program was not found) after 2s"),
        (137, "The command ended with exit code 137 (SIGKILL) after 2s"),
        (139, "The command ended with exit code 139 (SIGSEGV) after 2s"),
        (143, "The command ended with exit code 143 (SIGTERM) after 2s"),
    ],
)
def test_an_exit_code_is_said_with_what_it_means(code: int, told: str) -> None:
    """Where there is nothing else to say, the exit code is the fact."""
    found = diagnose(["bye", f"ERROR: Script failed with exit code {code} after 2s"])

    assert found is not None
    assert found.fact == told


def _failed(result: str = "FAILED", code: str = "", reason: str = "", code_type: str = "") -> Run:
    return Run(1, RunState("INTERNAL_ERROR", result, code=code, reason=reason, code_type=code_type))


@pytest.mark.parametrize(
    ("run", "lines", "kind"),
    [
        (_failed(code="RUN_EXECUTION_ERROR"), [], CauseKind.USER_CODE),
        (_failed(code="RUN_EXECUTION_ERROR"), ["Killed"], CauseKind.UNKNOWN),
        (_failed(code="RUN_EXECUTION_ERROR"), TRACEBACK, CauseKind.USER_CODE),
        (_failed(code="RUN_EXECUTION_ERROR", code_type="CLIENT_ERROR"), TRACEBACK, CauseKind.USER_CODE),
        (_failed(code="RUN_EXECUTION_ERROR", code_type="CLOUD_FAILURE"), TRACEBACK, CauseKind.INFRASTRUCTURE),
        (_failed(code="CLOUD_FAILURE"), TRACEBACK, CauseKind.INFRASTRUCTURE),
        (_failed(code="CLOUD_FAILURE", reason="Insufficient GPU capacity"), [], CauseKind.CAPACITY),
        (_failed(code="INTERNAL_ERROR", code_type="INTERNAL_ERROR"), TRACEBACK, CauseKind.INFRASTRUCTURE),
        (_failed(code="INTERNAL_ERROR", code_type="CLIENT_ERROR"), [], CauseKind.UNKNOWN),
        (_failed(code_type="CLOUD_FAILURE"), TRACEBACK, CauseKind.INFRASTRUCTURE),
        (_failed(code_type="INTERNAL_ERROR"), [], CauseKind.INFRASTRUCTURE),
        (_failed(code="A_CODE_OF_TOMORROW", code_type="CLIENT_ERROR"), [], CauseKind.CONFIGURATION),
        (_failed(code="A_CODE_OF_TOMORROW", code_type="CLIENT_ERROR"), TRACEBACK, CauseKind.USER_CODE),
        (_failed(code="WORKSPACE_RUN_LIMIT_EXCEEDED"), [], CauseKind.CAPACITY),
        (_failed("TIMEDOUT", "RUN_EXECUTION_ERROR"), TRACEBACK, CauseKind.TIMEOUT),
        (_failed("CANCELED", "USER_CANCELED"), TRACEBACK, CauseKind.CANCELLED),
        (_failed(code="BUDGET_POLICY_LIMIT_EXCEEDED"), [], CauseKind.CONFIGURATION),
        (_failed(code="A_CODE_OF_TOMORROW"), [], CauseKind.UNKNOWN),
    ],
)
def test_a_failure_has_a_kind(run: Run, lines: list[str], kind: CauseKind) -> None:
    """The result, the code and its type decide; the log where they only say that the command failed."""
    assert kind is kind_of_failure(run, diagnose(lines))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Insufficient GPU capacity in the region", CauseKind.CAPACITY),
        ("There was no available accelerator", CauseKind.CAPACITY),
        ("Quota exceeded for H100", CauseKind.CAPACITY),
        ("stock-out", CauseKind.CAPACITY),
        ("Insufficient disk on the host", CauseKind.INFRASTRUCTURE),
        ("The quota project is not set", CauseKind.INFRASTRUCTURE),
    ],
)
def test_a_lack_of_capacity_is_told_in_words(reason: str, kind: CauseKind) -> None:
    """The service has no code for it; its message counts where the code says that the cloud failed."""
    assert kind_of_failure(_failed(code="CLOUD_FAILURE", reason=reason)) is kind


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
