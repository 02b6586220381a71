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
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_0_PLUS
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import HEADER, Outcome, run_and_tidy

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


@pytest.mark.parametrize(("durable", "runs"), [(True, 1), (False, 2)])
def test_without_durable_every_try_starts_a_run(
    air: LocalAirRuntime, run_dag: RunDag, durable: bool, runs: int
) -> None:
    """A try that fails behind a run that has succeeded is tried again: with its result, or else with a fresh run."""
    body = f"""
    def stumble(context, result):
        if context["ti"].try_number == 1:
            raise RuntimeError("after the run")

    AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, durable={durable},
                   retries=1, retry_delay=timedelta(0), post_execute=stumble)
    """
    outcome = run_dag(body, train=TRAIN)
    assert "after the run" in outcome.text
    assert outcome.states == {"train": "success"}, outcome.text
    assert air.runs_created == runs


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_metrics_are_told_while_the_run_trains(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """With ``log_metrics_interval`` the task's log has a line with the newest metrics, without it none."""
    air.on("story").succeeds(after=4, metrics={"loss": 0.5})
    task = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, deferrable=%s%s)"
    told = run_dag(task % (deferrable, ", log_metrics_interval=0.2"), train=TRAIN)
    silent = run_dag(task % (deferrable, ""), train=TRAIN)
    assert "Metrics: loss" in told.text
    assert "Metrics: loss" not in silent.text


def test_the_links_find_their_addresses(air: LocalAirRuntime, airflow_db: Path, airflow_home: Path) -> None:
    """Each link of a task that has ended opens the page that its XCom names: the run, the MLflow run, the experiment."""
    air.on("story").succeeds()
    (folder := airflow_home / "dags" / "links").mkdir()
    (folder / "train.yaml").write_text(TRAIN)
    task = "    train = AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3)\n"
    (folder / "dag.py").write_text(HEADER.format(dag_id="links") + task)
    dag = runpy.run_path(str(folder / "dag.py"))["dag"]
    (instance,) = run_and_tidy(dag).get_task_instances()
    links = {link.name: link for link in dag.get_task("train").operator_extra_links}
    shown = {name: instance.xcom_pull("train", key=link.xcom_key) for name, link in links.items()}
    result = instance.xcom_pull("train")
    assert shown["AI Runtime run"] == result["run_page_url"]
    assert shown["MLflow run"] == result["mlflow_url"]
    assert f"/ml/experiments/{result['mlflow_experiment_id']}" in shown["MLflow experiment"]
    if not AIRFLOW_V_3_0_PLUS:  # Later versions read the XCom by its name and ask no class.
        key = instance.key
        assert {
            name: link.get_link(dag.get_task("train"), ti_key=key) for name, link in links.items()
        } == shown


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
