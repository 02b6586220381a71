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
"""Tell an asset of each training; what a Dag that waits for it gets is the result of the run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.assets import Asset
from airflow.providers.common.compat.sdk import DAG, task

from airflow.providers.databricks_air.operators.air import AirRunOperator

MODEL = Asset("databricks-air://models/first-run")

with DAG(
    dag_id="example_air_assets",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):
    # [START howto_operator_air_assets]
    AirRunOperator(task_id="train", config_path="train.yaml", polling_interval=2, outlets=[MODEL])
    # [END howto_operator_air_assets]

with DAG(
    dag_id="example_air_assets_used",
    schedule=[MODEL],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):

    @task
    def use(**context: Any) -> None:
        """Print what the training told."""
        # Airflow 2 calls assets datasets.
        told = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        for events in told.values():
            for event in events:
                print(event.extra)

    use()
