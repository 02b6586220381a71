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
"""Submit a run, wait for it in three ways, and take care that none outlives the Dag run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow.providers.databricks_air.operators.air import AirCancelRunOperator, AirRunOperator
from airflow.providers.databricks_air.sensors.air import AirRunSensor

with DAG(
    dag_id="example_air_sensor",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
    default_args={"databricks_air_conn_id": "databricks_air_default", "retries": 1},
):
    # [START howto_sensor_air_run]
    submit = AirRunOperator(task_id="submit", config_path="train.yaml", wait_for_termination=False)
    run_id = "{{ ti.xcom_pull(task_ids='submit', key='run_id') }}"

    waits = [
        AirRunSensor(task_id="poke", run_id=run_id, poke_interval=2),
        AirRunSensor(task_id="reschedule", run_id=run_id, poke_interval=2, mode="reschedule"),
        AirRunSensor(
            task_id="deferred", run_id=run_id, poke_interval=2, deferrable=True, timeout=timedelta(hours=6)
        ),
    ]
    # [END howto_sensor_air_run]

    # [START howto_operator_air_cancel]
    cancel = AirCancelRunOperator(task_id="cancel", run_id=run_id).as_teardown(setups=submit)
    # [END howto_operator_air_cancel]
    submit >> waits >> cancel
