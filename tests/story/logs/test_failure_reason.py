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
"""What a task says when its run failed, and whether Airflow may try again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.watch.watch import Ended, WatchPlan, watch
from airflow.providers.databricks_air.exceptions import AirRunFailedError, AirRunFailedForGoodError
from airflow.providers.databricks_air.lifecycle.follow.results import Results
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/databricks/code_source/project/train.py", line 41, in main',
    "KeyError: 'lr'",
]
GENERIC = "Workload failed, see run output for details"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime for many short runs."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air"), retry_wait=0.05) as runtime:
        yield runtime


def fail(air: LocalAirRuntime, *, nodes: int = 1, printed: Any = None, **task: Any) -> Exception:
    """Run to its failure and return the error that ends the task."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    config = load_run_config(
        {
            "experiment_name": "failing",
            "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": nodes},
            "command": task.pop("command", "true"),
            "max_retries": 0,
        }
    )
    run_id = launch(client, config, token=uuid4().hex)
    *_, ended = watch(client, WatchPlan(run_id, 0.1))
    assert isinstance(ended, Ended)
    return Results(client, retry_on=task.get("retry_on")).error(ended, printed=printed)


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        (["epoch 1", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"], ""),
        (["NVRM: Xid (PCI:0000:53:00): 79, GPU has fallen off the bus"], ""),
        (["pynvml is not installed", *TRACEBACK], "KeyError: 'lr' at train.py:41 (main)"),
        (["nothing known"], "The command ended with exit code 7 after"),
    ],
)
def test_the_first_line_of_the_error_is_the_fact(
    workspace: LocalAirRuntime, lines: list[str], fact: str
) -> None:
    """Where the service only says that the workload failed: what the log says, what helps, run and pages."""
    workspace.on("failing").fails(0.1, exit_code=7, logs=lines)

    message = str(fail(workspace)).splitlines()

    assert message[0].startswith(fact or lines[-1])
    assert GENERIC not in message[0]
    helps = [line for line in message if line.startswith("What helps: ")]
    assert message[1 : 1 + len(helps)] == helps
    run = message[1 + len(helps)]
    assert re.fullmatch(
        r"AI Runtime run \d+ ended as FAILED after \d+s \(attempt 1 of 1, code RUN_EXECUTION_ERROR\); exit code 7",
        run,
    )
    assert message[2 + len(helps)].startswith("Run page: ")
    assert "/ml/experiments/" in message[3 + len(helps)]
    assert f"    {lines[-1]}" in message


def test_the_reason_of_the_service_comes_first_when_it_is_one(workspace: LocalAirRuntime) -> None:
    """A message that says something is the first line as it is."""
    workspace.on("failing").fails(0.1, message="The image main.ml.train:3 cannot be pulled", logs=["x"])

    assert str(fail(workspace)).startswith("The image main.ml.train:3 cannot be pulled\n")


def test_the_node_that_failed_first_is_named_and_its_lines_are_shown(workspace: LocalAirRuntime) -> None:
    """Of several nodes, the one with the earliest fatal line is the culprit."""
    workspace.forget_behaviours()
    command = """
    if [ $NODE_RANK = 2 ]; then sleep 1; echo "CUDA out of memory"; exit 3; fi
    echo "rank $NODE_RANK waits for its peers"; sleep 60
    """

    message = str(fail(workspace, nodes=3, command=command)).splitlines()

    assert message[0] == "CUDA out of memory"
    assert message[2].endswith("; node 2 failed first with exit code 3")
    shown = message.index("Last lines of node 2:")
    assert message[shown + 1] == "    CUDA out of memory"
    # The other two nodes say the same but for the rank.
    assert message[shown + 3] == "Last lines of node 0:"
    assert message[-1] == "1 more node ends alike"


def test_lines_that_were_just_printed_are_not_repeated(workspace: LocalAirRuntime) -> None:
    """The last lines are shown only when the task's log does not have them."""
    workspace.on("failing").fails(0.1, logs=["one", "two"])

    assert "    two" in str(fail(workspace, printed=None))
    assert "    two" in str(fail(workspace, printed=(1,)))
    assert "    two" not in str(fail(workspace, printed=(0,)))
    assert "    two" not in str(fail(workspace, printed="all"))


def test_at_most_twenty_lines_are_shown(workspace: LocalAirRuntime) -> None:
    """A long log gives its last twenty lines."""
    workspace.on("failing").fails(0.1, logs=[f"line {i}" for i in range(300)])

    shown = [line for line in str(fail(workspace)).splitlines() if line.startswith("    ")]

    assert len(shown) == 20
    assert "    line 299" in shown


def test_retry_on_decides_by_cause(workspace: LocalAirRuntime) -> None:
    """A listed cause may be tried again, another ends the task for good and says so."""
    workspace.on("failing").fails(0.1, logs=["NVRM: Xid (PCI:0000:53:00): 79, pid=1"])
    again = fail(workspace, retry_on={"infrastructure", "capacity"})
    workspace.on("failing").fails(0.1, logs=["CUDA out of memory"])
    for_good = fail(workspace, retry_on={"infrastructure", "capacity"})

    assert type(again) is AirRunFailedError
    assert type(for_good) is AirRunFailedForGoodError
    assert str(for_good).endswith("No retry: the cause is user_code, not one of retry_on")


TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: "echo 'RuntimeError: CUDA out of memory'; exit 1"
"""


@both_modes
def test_a_failure_that_is_not_worth_a_retry_gets_none(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """With retry_on={'infrastructure'}, user code that fails is tried once although retries are left."""
    task = (
        "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, "
        f"deferrable={deferrable}, retries=2, retry_delay=timedelta(0), retry_on={{'infrastructure'}})"
    )

    outcome = run_dag(task, train=TRAIN)

    assert outcome.states == {"train": "failed"}
    assert air.runs_created == 1
    assert "RuntimeError: CUDA out of memory\nWhat helps: reduce the batch size" in outcome.text


def test_a_cause_that_does_not_exist_is_refused_before_anything_is_paid(
    air: LocalAirRuntime, run_dag: RunDag
) -> None:
    """A typo in retry_on names itself and the choices, and starts no run."""
    task = "AirRunOperator(task_id='train', config_path='train.yaml', retry_on=['infra'])"

    outcome = run_dag(task, train=TRAIN)

    assert outcome.states == {"train": "failed"}
    assert "retry_on: 'infra' is not a cause; choose from infrastructure, capacity" in outcome.text
    assert air.runs_created == 0


@both_modes
def test_the_result_has_the_final_metrics(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A downstream task can choose by metrics and params; a metric without a finite value is None."""
    air.on("story").succeeds(
        1, metrics={"loss": [0.9, 0.5, 0.25], "bad": "NaN"}, params={"lr": "1e-4"}, logs=["x"]
    )
    task = (
        "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, "
        f"deferrable={deferrable}, log_metrics_interval=0.2)"
    )

    outcome = run_dag(task, train=TRAIN)

    assert outcome.states == {"train": "success"}, outcome.text
    result = outcome.xcoms["train"]
    assert result["metrics"]["loss"] == 0.25
    assert result["metrics"]["bad"] is None
    assert result["params"]["lr"] == "1e-4"
