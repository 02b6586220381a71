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
"""A run through the operator, from the YAML file to the end of the task, in both modes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import requests

from airflow.providers.databricks_air.lifecycle.launch import find_or_submit
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
"""
TASK = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, deferrable=%s)"

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


def ask(air: LocalAirRuntime, method: str, path: str, **kwargs: Any) -> Any:
    """Send one request to the local AI Runtime as somebody else would."""
    headers = {"Authorization": f"Bearer {air.token}"}
    answer = requests.request(method, air.url + path, headers=headers, timeout=30, **kwargs)
    answer.raise_for_status()
    return answer.json()


def runs(air: LocalAirRuntime) -> list[dict[str, Any]]:
    """Return every run that was ever created."""
    return ask(air, "GET", "/api/2.2/jobs/runs/list?run_type=SUBMIT_RUN&expand_tasks=true").get("runs", [])


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Try an act every 0.2 s beside the block until it has done its work."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.2) and not act():
            pass

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@both_modes
def test_success_returns_the_result(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A command that succeeds ends the task as success, with state, ids and page in its XCom."""
    outcome = run_dag(TASK % deferrable, train=TRAIN + "command: echo loss=0.5")
    assert outcome.states == {"train": "success"}, outcome.text
    result = outcome.xcoms["train"]
    assert result["state"] == "SUCCESS"
    assert result["run_page_url"].startswith(air.url)
    assert [run["run_id"] for run in runs(air)] == [result["run_id"]]


@both_modes
def test_permissions_reach_the_experiment_of_a_run_that_waited(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """Permissions are granted on the run at once, and on its MLflow experiment when accelerators were found."""
    air.on("story").waits(2.5).succeeds()
    shared = "permissions: [{group_name: ml, level: CAN_VIEW}]\n"
    outcome = run_dag(TASK % deferrable, train=TRAIN + shared + "command: echo")
    assert outcome.states == {"train": "success"}, outcome.text
    asked = {request.path.split("/")[4]: request.json() for request in air.requests(method="PATCH")}
    assert {kind: body["access_control_list"][0]["permission_level"] for kind, body in asked.items()} == {
        "jobs": "CAN_VIEW",
        "experiments": "CAN_READ",
    }
    assert "could not be granted" not in outcome.text


@both_modes
def test_failure_says_reason_id_and_page(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A command that fails fails the task; the message has the fact, the run's id and its page."""
    outcome = run_dag(TASK % deferrable, train=TRAIN + "command: exit 3")
    assert outcome.states == {"train": "failed"}
    (run,) = runs(air)
    assert "exit code 3" in outcome.text
    assert re.search(
        rf"AI Runtime run {run['run_id']} ended as FAILED after \S+ \(attempt 1 of 1", outcome.text
    )
    assert run["run_page_url"] in outcome.text
    assert "During handling of the above exception" not in outcome.text


@both_modes
def test_the_platform_tries_again(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A run whose second attempt succeeds is one successful task, and the log says which attempt it was."""
    command = """
        command: |
          mark=/tmp/air-story-$EXPERIMENT_MARK
          test -e $mark || { touch $mark; exit 1; }
          rm $mark
        """
    mark = f"{time.time_ns()}"
    train = (
        TRAIN.replace("max_retries: 0", "max_retries: 2") + f"env_variables: {{EXPERIMENT_MARK: '{mark}'}}"
    )
    body = "\n".join(line[8:] for line in command.splitlines())
    outcome = run_dag(TASK % deferrable, train=train + body)
    assert outcome.states == {"train": "success"}, outcome.text
    assert outcome.xcoms["train"]["attempts"] == 2
    assert "attempt 2 of 3 after attempt 1 ended as FAILED" in outcome.text


@both_modes
def test_a_cancel_from_outside_is_said_so(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A run that somebody cancels in the workspace fails the task as cancelled."""

    def cancel() -> bool:
        active = [run for run in runs(air) if run["state"]["life_cycle_state"] == "RUNNING"]
        for run in active:
            ask(air, "POST", "/api/2.2/jobs/runs/cancel", json={"run_id": run["run_id"]})
        return bool(active)

    with meanwhile(cancel):
        outcome = run_dag(TASK % deferrable, train=TRAIN + "command: sleep 600")
    assert outcome.states == {"train": "failed"}
    assert "ended as CANCELED" in outcome.text


@both_modes
def test_a_timeout_of_the_platform_fails_the_task(
    fast_air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """``timeout_minutes`` travels to the service, which ends the attempt; the task fails as timed out."""
    outcome = run_dag(TASK % deferrable, train=TRAIN + "timeout_minutes: 1\ncommand: sleep 600")
    assert outcome.states == {"train": "failed"}
    assert "ended as TIMEDOUT" in outcome.text
    (run,) = runs(fast_air)
    assert run["tasks"][0]["state"]["result_state"] == "TIMEDOUT"


@both_modes
def test_a_wait_for_accelerators_can_be_limited(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """After ``queue_timeout`` the run is cancelled, and the task fails saying what it waited for."""
    air.on("*").waits(message="Waiting for accelerator capacity")
    outcome = run_dag(TASK.replace("%s)", "%s, queue_timeout=1)") % deferrable, train=TRAIN + "command: echo")
    assert outcome.states == {"train": "failed"}
    assert "queue_timeout" in outcome.text, outcome.text
    (run,) = runs(air)
    assert run["state"]["result_state"] == "CANCELED"


def test_execution_timeout_of_a_deferred_task_is_a_timeout(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """When ``execution_timeout`` passes, the run is cancelled, and the error is the timeout, not the cancel."""
    task = TASK.replace("%s)", "%s, execution_timeout=timedelta(seconds=5))")
    outcome = run_dag(task % True, train=TRAIN + "command: sleep 600")
    assert outcome.states == {"train": "failed"}
    assert "AirRunTimeoutError" in outcome.text, outcome.text
    (run,) = runs(air)
    assert run["state"]["result_state"] == "CANCELED"


@both_modes
def test_a_sensor_waits_for_a_run_of_another_task(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """Submit, wait and clean up as three tasks: the sensor returns the result, the cancel finds nothing to do."""
    body = f"""
    submit = AirRunOperator(task_id='train', config_path='train.yaml', wait_for_termination=False)
    run_id = "{{{{ ti.xcom_pull(task_ids='train', key='run_id') }}}}"
    wait = AirRunSensor(task_id='wait', run_id=run_id, poke_interval=0.3, deferrable={deferrable})
    submit >> wait >> AirCancelRunOperator(task_id='clean', run_id=run_id, trigger_rule='all_done')
    """
    outcome = run_dag(body, train=TRAIN + "command: sleep 1")
    assert outcome.states == {"train": "success", "wait": "success", "clean": "success"}, outcome.text
    assert outcome.xcoms["wait"]["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (TRAIN + "comand: echo", "comand"),
        (TRAIN + "command: echo\ntimeout_minutes: soon", "timeout_minutes"),
        ("[", "train.yaml"),
    ],
    ids=["unknown key", "wrong type", "no yaml"],
)
def test_a_mistake_in_the_file_costs_nothing(
    air: LocalAirRuntime, run_dag: RunDag, train: str, message: str
) -> None:
    """A mistake in the YAML fails the task at once, with its name, and without a single run."""
    outcome = run_dag(TASK % False, train=train)
    assert outcome.states == {"train": "failed"}
    assert message in outcome.text
    assert "AirConfigError" in outcome.text
    assert not runs(air)


def test_a_missing_file_is_said_with_both_places(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """The message of a missing file names the place beside the Dag file and the one in the working directory."""
    outcome = run_dag(TASK % False)
    assert outcome.states == {"train": "failed"}
    assert "'train.yaml' is not a file: not at " in outcome.text
    assert " nor " in outcome.text
    assert not runs(air)


@both_modes
def test_a_wrong_token_is_one_clear_message(
    air: LocalAirRuntime, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """A token that the workspace refuses ends the task with what to check."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT",
        f'{{"conn_type": "databricks_air", "host": "{air.url}", "password": "wrong-token"}}',
    )
    monkeypatch.setattr(find_or_submit, "FRESH_PATIENCE", 1.0)
    outcome = run_dag(TASK % deferrable, train=TRAIN + "command: echo")
    assert outcome.states == {"train": "failed"}
    assert "The workspace refuses the connection's credentials" in outcome.text


def test_no_thread_and_no_process_stays(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """After a run that failed, this process has no new thread of the launch and no process of the training."""
    before = set(threading.enumerate())
    run_dag(TASK % False, train=TRAIN + "command: exit 1")
    new = set(threading.enumerate()) - before
    assert not [thread for thread in new if thread.name.startswith("databricks-air")]
    assert not [
        child for child in psutil.Process().children(recursive=True) if "command.sh" in child.cmdline()
    ]
