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
"""The run's own log in the task's log, in both modes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: %d}
max_retries: %d
command: |
"""

# 3.x: "… [info     ] message   [logger] …"; 2.11: "[…] {file:line} INFO - message".
MESSAGE = re.compile(r"(?:\[info +\] |\} INFO - )(.*?)(?: +\[[\w.]+\](?: \w+=.*)?)?$")

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


def train(command: str, *, nodes: int = 1, max_retries: int = 0) -> str:
    """Return a run configuration with that command."""
    return TRAIN % (nodes, max_retries) + "".join(f"  {line}\n" for line in command.splitlines())


def task(deferrable: bool, **arguments: object) -> str:
    """Return a task that trains."""
    more = "".join(f", {name}={value!r}" for name, value in arguments.items())
    return (
        "AirRunOperator(task_id='train', config_path='train.yaml', "
        f"polling_interval=0.5, deferrable={deferrable}{more})"
    )


def messages(outcome: Outcome) -> list[str]:
    """Return what was logged, without time, level and logger."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", outcome.text)
    lines = [line for line in plain.splitlines() if MESSAGE.search(line)]
    # dag.test() of Airflow 2 prints the task's lines twice; only the console's own handler writes a T in the time.
    lines = [line for line in lines if re.match(r"\[\d{4}-\d\d-\d\dT", line)] or lines
    return [match.group(1).rstrip() for match in map(MESSAGE.search, lines) if match]


@both_modes
def test_the_log_of_the_run_is_in_the_log_of_the_task(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """What the command prints is printed by the task, unchanged, in order and once."""
    script = (
        "for i in 1 2 3 4 5; do echo \"step $i of 5: 100% {done}\"; sleep 0.2; done\nprintf 'no line feed'"
    )

    outcome = run_dag(task(deferrable), train=train(script))

    assert outcome.states == {"train": "success"}, outcome.text
    printed = [line for line in messages(outcome) if line.startswith("step ") or line == "no line feed"]
    assert printed == [*(f"step {i} of 5: 100% {{done}}" for i in range(1, 6)), "no line feed"]


@both_modes
def test_stream_logs_can_be_turned_off(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """With stream_logs=False neither a line nor a request for one is made."""
    outcome = run_dag(task(deferrable, stream_logs=False), train=train("echo here I am"))

    assert outcome.states == {"train": "success"}, outcome.text
    assert "here I am" not in messages(outcome)
    assert not [request for request in air.requests() if request.path.endswith("/logs")]


@both_modes
def test_lines_of_several_nodes_say_which_node_they_are_from(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """With log_nodes='all' each line begins with its node; a list leaves the others out."""
    script = "echo hello from $NODE_RANK"

    everything = run_dag(task(deferrable, log_nodes="all"), train=train(script, nodes=3))
    some = run_dag(task(deferrable, log_nodes=[0, 2]), train=train(script, nodes=3))

    lines = [f"[node {rank}] hello from {rank}" for rank in range(3)]
    assert sorted(line for line in messages(everything) if "hello" in line) == lines
    assert sorted(line for line in messages(some) if "hello" in line) == [lines[0], lines[2]]


def test_a_node_that_does_not_exist_is_refused_before_anything_is_paid(
    air: LocalAirRuntime, run_dag: RunDag
) -> None:
    """log_nodes beyond the run's nodes names the value, the rule and the remedy, and starts no run."""
    outcome = run_dag(task(False, log_nodes=2), train=train("echo hi", nodes=2))

    assert outcome.states == {"train": "failed"}
    assert "log_nodes: 2 is not a node of this run, whose nodes are 0 to 1" in outcome.text
    assert not [request for request in air.requests() if request.path.endswith("/runs/submit")]


@both_modes
def test_the_log_of_every_attempt_is_printed(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A new attempt is announced and its lines follow; those of the first attempt are complete."""
    air.on("story").fails(1, logs=["first: one", "first: two"]).succeeds(1, logs=["second: one"])

    outcome = run_dag(task(deferrable), train=train("true", max_retries=1))

    assert outcome.states == {"train": "success"}, outcome.text
    printed = [line for line in messages(outcome) if re.match(r"(first|second): ", line)]
    assert printed == ["first: one", "first: two", "second: one"]
    assert "attempt 2 of 2 after attempt 1 ended as FAILED" in outcome.text
    assert "The log of attempt 2 of 2 begins here" in outcome.text


@both_modes
@pytest.mark.parametrize("record_ids", [True, False], ids=["ids", "no-ids"])
def test_late_double_and_disordered_records_are_printed_once(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool, record_ids: bool
) -> None:
    """A service that delivers late, twice and out of order makes no difference to what is printed."""
    air.spoil_logs(late=2.0, late_every=7, duplicate_every=5, disorder_every=3, record_ids=record_ids)
    script = "for i in $(seq 1 400); do echo line $i; test $((i % 100)) -ne 0 || sleep 0.7; done; sleep 2.5"

    outcome = run_dag(task(deferrable), train=train(script))

    assert outcome.states == {"train": "success"}, outcome.text
    printed = Counter(line for line in messages(outcome) if line.startswith("line "))
    assert printed == Counter(f"line {i}" for i in range(1, 401))


@both_modes
def test_a_log_endpoint_that_fails_for_a_while_loses_nothing(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """Errors, resets and half answers of the log endpoint end neither the task nor the log."""
    for then in ("status", "reset", "cut", "garbage"):
        air.add_fault("*/logs", skip=1, times=1, then=then)
    script = "for i in $(seq 1 20); do echo line $i; sleep 0.2; done"

    outcome = run_dag(task(deferrable), train=train(script))

    assert outcome.states == {"train": "success"}, outcome.text
    printed = [line for line in messages(outcome) if line.startswith("line ")]
    assert printed == [f"line {i}" for i in range(1, 21)]
