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
"""Two hundred deferred tasks on a real Airflow, of whose two triggerers one dies."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import FINISHED, AirflowCluster, Settings, TaskKey, wait_for

RUNS = 200
INTERVAL = 10.0
OBSERVED = 60.0
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

with DAG("many", schedule=None, catchup=False) as dag:
    AirRunOperator.partial(
        task_id="train", deferrable=True, polling_interval={interval}, stream_logs=False, retries=0
    ).expand(config=[{{
        "experiment_name": "many", "max_retries": 0, "command": "true", "parameters": {{"number": number}},
        "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
    }} for number in range({runs})])
"""


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.xdist_group("cluster")
def test_two_hundred_tasks_outlive_one_of_two_triggerers(tmp_path: Path) -> None:
    """All of them end well, with one run each, and waiting for them takes a quarter of one request each in time."""
    with LocalAirRuntime(tmp_path / "air") as air:
        air.on().hangs()
        connection = {"conn_type": "databricks_air", "host": air.url, "password": air.token}
        settings = Settings(
            tmp_path / "airflow",
            env={
                "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": json.dumps(connection),
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(RUNS),
            },
        )
        with AirflowCluster(settings, triggerers=2) as airflow:
            airflow.add_dag("many", DAG.format(interval=INTERVAL, runs=RUNS))
            airflow.client.wait_dag("many")
            airflow.client.trigger("many", "one")
            keys = [TaskKey("many", "one", "train", number) for number in range(RUNS)]
            for key in keys:
                airflow.client.wait_task(key, {"deferred"}, timeout=1800)

            air.clear_requests()
            time.sleep(OBSERVED)  # What is counted is what happens in this time.
            asked = len(air.requests(path="/api/*"))
            assert asked <= RUNS * OBSERVED / INTERVAL / 4

            airflow.triggerers[0].kill()
            for run in air.runs():
                air.release(run["run_id"])
            wait_for(
                lambda: airflow.client.run_state("many", "one") in FINISHED,
                "the Dag run to end",
                timeout=1800,
            )
            assert airflow.client.run_state("many", "one") == "success"
            assert len(air.runs()) == RUNS
