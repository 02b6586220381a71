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
"""On a whole Airflow: the log of a long run while triggerers die."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from airflow.providers.databricks_air.local import LocalAirRuntime
from tests.story.airflow_cluster import FINISHED, AirflowCluster, Settings, TaskKey, wait_for

pytestmark = pytest.mark.long

LINES = 20_000
DAG = f"""
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

COMMAND = '''
for hundred in $(seq 0 {LINES // 100 - 1}); do
  for one in $(seq 1 100); do echo "numbered line $((hundred * 100 + one))"; done
  sleep 1
done
'''
CONFIG = {{
    "experiment_name": "long",
    "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
    "command": COMMAND,
    "max_retries": 0,
}}

with DAG("long_log", schedule=None, catchup=False):
    for mode in ("sync", "deferrable"):
        AirRunOperator(task_id=mode, config=CONFIG, deferrable=mode == "deferrable", polling_interval=2)
"""


def numbers(log: str) -> Counter[int]:
    """Return how often each number was printed."""
    return Counter(int(number) for number in re.findall(r"numbered line (\d+)", log))


@pytest.mark.timeout(1200)
def test_each_line_is_printed_once_although_the_triggerer_is_killed_three_times(tmp_path: Path) -> None:
    """20,000 numbered lines, three triggerers lost on the way: each number is once in the task's log."""
    with LocalAirRuntime(tmp_path / "air") as air:
        connection = {"conn_type": "databricks_air", "host": air.url, "password": air.token}
        env = {
            "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": json.dumps(connection),
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        }
        with AirflowCluster(Settings(tmp_path / "airflow", env=env)) as airflow:
            airflow.add_dag("long_log", DAG)
            airflow.client.unpause("long_log")
            airflow.client.trigger("long_log", "one")
            deferred = TaskKey("long_log", "one", "deferrable")
            airflow.client.wait_task(deferred, {"deferred"})
            victim, heir = airflow.triggerers[:2]
            for _ in range(3):
                before = len(air.requests("GET", "*/by-run-id/*/logs"))
                seen = sum(numbers(airflow.client.log(deferred, 1)).values())
                wait_for(
                    lambda seen=seen: sum(numbers(airflow.client.log(deferred, 1)).values()) > seen + 300,
                    f"more lines than {seen} ({before} requests)",
                    timeout=180,
                    every=2.0,
                )
                victim.kill()
                heir.start()
                victim, heir = heir, victim
            for mode in ("deferrable", "sync"):
                key = TaskKey("long_log", "one", mode)
                view = airflow.client.wait_task(key, FINISHED, timeout=600)
                assert (view.state, view.try_number) == ("success", 1)
                found = numbers(airflow.client.log(key, 1))
                missing = [n for n in range(1, LINES + 1) if n not in found]
                assert not missing, f"{mode}: {len(missing)} lines are missing, the first is {missing[0]}"
                repeated = [n for n, count in found.items() if count > 1]
                assert not repeated, f"{mode}: {len(repeated)} lines are repeated, the first is {repeated[0]}"
