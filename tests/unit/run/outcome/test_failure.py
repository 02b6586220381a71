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
"""What the logs of several nodes say together, and how it is told."""

from __future__ import annotations

from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.failure import failure_message, findings_of
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run, RunState

RUN = Run(
    7,
    RunState("TERMINATED", "FAILED", code="RUN_EXECUTION_ERROR"),
    attempts=(
        Attempt(0, 70, RunState("TERMINATED", "FAILED"), 1_000, 3_000),
        Attempt(1, 71, RunState("TERMINATED", "FAILED"), 4_000, 66_000),
    ),
    max_retries=1,
    nodes=3,
)
NCCL = "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1, remote process exited"


def tail(node: int, *lines: str, second: int = 1) -> list[LogLine]:
    """Return the last lines of a node, a nanosecond apart."""
    return [LogLine(node, 1, text, second * 10**9 + place) for place, text in enumerate(lines)]


def raised(error: str) -> list[str]:
    """Return a traceback that ends with *error*, and the end of the command."""
    frame = '  File "/databricks/code_source/project/train.py", line 41, in main'
    return [
        "Traceback (most recent call last):",
        frame,
        error,
        "ERROR: Script failed with exit code 1 after 62s",
    ]


def test_the_node_that_failed_first_gives_the_fact() -> None:
    """The earlier of two errors counts, and what the other nodes suffered is shown behind it."""
    findings = findings_of(
        {
            0: tail(0, *raised("ValueError: no data"), second=9),
            1: tail(1, *raised("KeyError: 'lr'"), second=5),
            2: tail(2, *raised(NCCL), second=4),
        }
    )

    message = failure_message(RUN, "https://host/7", findings).splitlines()

    assert message[0] == "KeyError: 'lr' at train.py:41 (main)"
    assert message[1] == (
        "AI Runtime run 7 ended as FAILED after 1m02s (attempt 2 of 2, code RUN_EXECUTION_ERROR); "
        "node 1 failed first with exit code 1"
    )
    assert message[2] == "Run page: https://host/7"
    assert message[3] == "Last lines of node 1:"
    assert message.index("Last lines of node 0:") < message.index("Last lines of node 2:")


def test_a_lost_peer_is_no_first_failure() -> None:
    """A node that lost its peers did not fail first, whatever its clock says."""
    findings = findings_of(
        {0: tail(0, *raised(NCCL), second=1), 1: tail(1, *raised("KeyError: 'lr'"), second=5)}
    )

    assert findings.node == 1


def test_nodes_that_end_alike_are_shown_once() -> None:
    """Of nodes whose last lines differ in numbers only, one is shown and the others are counted."""
    findings = findings_of({node: tail(node, f"rank {node} is lost") for node in range(64)})

    message = failure_message(RUN, "https://host/7", findings)

    assert message.endswith("Last lines of node 0:\n    rank 0 is lost\n63 more nodes end alike")


def test_lines_that_the_task_has_printed_are_left_out() -> None:
    """Only nodes whose log is not in the task's log are shown."""
    findings = findings_of({0: tail(0, "one"), 1: tail(1, "two other")})

    assert set(findings.without((0,)).tails or {}) == {1}
    assert not findings.without("all").tails


def test_without_times_no_node_is_blamed() -> None:
    """Two nodes with errors of their own and no clock: nobody is called the first."""
    lines = [LogLine(0, 1, text) for text in raised("KeyError: 'lr'")]
    findings = findings_of({0: lines, 1: lines})

    assert findings.node is None
    assert findings.diagnosis is not None


def test_the_service_s_own_reason_comes_before_the_log() -> None:
    """A code that tells why leaves the log out; a reason that says something stands above the fact."""
    findings = findings_of({0: tail(0, *raised("KeyError: 'lr'"))})
    lost = Run(7, RunState("TERMINATED", "FAILED", code="CLOUD_FAILURE", reason="The host was lost"))
    said = Run(7, RunState("TERMINATED", "FAILED", code="RUN_EXECUTION_ERROR", reason="The image is broken"))

    assert "KeyError: 'lr' at" not in failure_message(lost, "", findings)
    assert failure_message(lost, "", findings).startswith("The host was lost\nAI Runtime run 7")
    assert failure_message(said, "", findings).startswith(
        "The image is broken\nThe log says: KeyError: 'lr' at"
    )
