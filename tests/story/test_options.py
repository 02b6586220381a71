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
"""Options of the operators that no other story looks at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: echo
"""


def test_a_live_run_is_cancelled(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """AirCancelRunOperator ends a run that nobody waits for, and says so."""
    air.on("story").hangs()
    body = """
submit = AirRunOperator(task_id='train', config_path='train.yaml', wait_for_termination=False)
submit >> AirCancelRunOperator(task_id='clean', run_id="{{ ti.xcom_pull('train')['run_id'] }}")
"""
    outcome = run_dag(body, train=TRAIN)
    assert outcome.states == {"train": "success", "clean": "success"}, outcome.text
    (run,) = air.runs()
    assert run["state"]["result_state"] == "CANCELED"
    assert f"Run {run['run_id']}: asked for its end" in outcome.text


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_without_push_metrics_the_result_has_none(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """The result has neither metrics nor params, though the run has both."""
    air.on("story").succeeds(metrics={"loss": 0.5}, params={"lr": "1e-4"})
    task = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, push_metrics=False, deferrable=%s)"
    outcome = run_dag(task % deferrable, train=TRAIN)
    assert outcome.states == {"train": "success"}, outcome.text
    assert not {"metrics", "params"} & outcome.xcoms["train"].keys()
    assert outcome.xcoms["train"]["state"] == "SUCCESS"


def test_default_deferrable_is_the_setting_of_airflow() -> None:
    """What ``[operators] default_deferrable`` says holds where the author says nothing, also for the sensor."""
    program = """
from airflow.providers.databricks_air.operators.air import AirRunOperator
from airflow.providers.databricks_air.sensors.air import AirRunSensor
made = [AirRunOperator(task_id="a", config={}), AirRunOperator(task_id="b", config={}, deferrable=False)]
print([task.deferrable for task in (*made, AirRunSensor(task_id="c", run_id=1))])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["[True, False, True]"], done.stdout + done.stderr
