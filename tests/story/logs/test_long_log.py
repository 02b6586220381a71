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
import time
from collections import Counter
from pathlib import Path

import pytest

from airflow.providers.databricks_air.lifecycle.follow.task_log import TAKEN_OVER
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import FINISHED, AirflowCluster, Settings, TaskKey, wait_for

pytestmark = pytest.mark.long

LINES = 20_000
DAG = f"""
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

COMMAND = '''
for thousand in $(seq 0 {LINES // 1000 - 1}); do
  for one in $(seq 1 1000); do echo "numbered line $((thousand * 1000 + one))"; done
  sleep 15
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


def wait_for_quiet(airflow: AirflowCluster, key: TaskKey, more_than: int) -> int:
    """Wait until whole thousands are printed, more than before, and return how many lines that is."""

    def ask() -> int | None:
        count = len(numbers(airflow.client.log(key, 1)))
        return count if count > more_than and count % 1000 == 0 else None

    first = wait_for(ask, f"more than {more_than} lines", timeout=300, every=1.0)
    # The position is written a second after the lines.
    time.sleep(4)
    return int(first or 0)


@pytest.mark.timeout(1500)
def test_each_line_is_printed_once_although_the_triggerer_is_killed_three_times(tmp_path: Path) -> None:
    """20,000 numbered lines, three triggerers lost on the way: each number is once in the task's log.

    A fourth one is lost while it prints: of the thousand lines that it was about to print some may be
    repeated, none is missing, and the log says so.
    """
    with LocalAirRuntime(tmp_path / "air") as air:
        connection = {"conn_type": "databricks_air", "host": air.url, "password": air.token}
        env = {
            "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": json.dumps(connection),
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        }
        with AirflowCluster(Settings(tmp_path / "airflow", env=env)) as airflow:
            airflow.add_dag("long_log", DAG)
            airflow.client.wait_dag("long_log")
            airflow.client.trigger("long_log", "one")
            deferred = TaskKey("long_log", "one", "deferrable")
            airflow.client.wait_task(deferred, {"deferred"})
            victim, heir = airflow.triggerers[:2]
            exact = 0
            for _ in range(3):
                exact = wait_for_quiet(airflow, deferred, exact)
                victim.kill()
                heir.start()
                victim, heir = heir, victim
            wait_for(
                lambda: len(numbers(airflow.client.log(deferred, 1))) > exact, "more lines", 300, every=0.1
            )
            victim.kill()
            heir.start()
            for mode in ("deferrable", "sync"):
                key = TaskKey("long_log", "one", mode)
                view = airflow.client.wait_task(key, FINISHED, timeout=600)
                assert (view.state, view.try_number) == ("success", 1)
                log = airflow.client.log(key, 1)
                found = numbers(log)
                missing = [n for n in range(1, LINES + 1) if n not in found]
                assert not missing, f"{mode}: {len(missing)} lines are missing, the first is {missing[0]}"
                repeated = sorted(n for n, count in found.items() if count > 1)
                if mode == "sync":
                    assert not repeated
                else:
                    assert not [n for n in repeated if n <= exact]
                    assert len(repeated) <= 1000
                    assert TAKEN_OVER in log
