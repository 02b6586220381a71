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
"""Train twice, once on a worker and once deferred, and read both results downstream."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow.providers.databricks_air.operators.air import AirRunOperator

with DAG(
    dag_id="example_air_run",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):
    # [START howto_operator_air_run]
    train = AirRunOperator(
        task_id="train",
        config_path="train.yaml",  # looked up beside this file
        polling_interval=2,  # seconds; the default of 30 suits trainings of hours
        execution_timeout=timedelta(minutes=15),
    )
    # [END howto_operator_air_run]

    # [START howto_operator_air_run_deferrable]
    train_deferred = AirRunOperator(
        task_id="train_deferred",
        config_path="train.yaml",
        overrides={"env_variables.LEARNING_RATE": "0.6"},
        deferrable=True,  # waits in the triggerer and takes no worker slot
        polling_interval=2,
        execution_timeout=timedelta(minutes=15),
    )
    # [END howto_operator_air_run_deferrable]

    # [START howto_operator_air_run_result]
    @task
    def report(results: list[dict[str, Any]]) -> None:
        """Print what both trainings handed over."""
        for result in results:
            print(f"run {result['run_id']}: {result['state']} in {result['duration_seconds']} s")
            print(f"  {result['run_page_url']}")

    train >> train_deferred
    report([train.output, train_deferred.output])
    # [END howto_operator_air_run_result]
