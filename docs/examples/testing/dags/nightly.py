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
"""A Dag with one training, as it lies in Airflow's Dags folder."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow.providers.databricks_air.operators.air import AirRunOperator

CONFIG = {
    "experiment_name": "nightly",
    "compute": {"accelerator_type": "GPU_1xH100", "num_accelerators": 1},
    "command": "python train.py",
    "max_retries": 1,
}

with DAG("nightly", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    AirRunOperator(task_id="train", config=CONFIG)
