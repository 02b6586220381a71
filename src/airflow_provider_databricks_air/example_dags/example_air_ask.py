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
"""No accelerators for two hours: ask a person whether to wait on, to take others, or to leave it (Airflow 3.1)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG
from packaging.version import Version

from airflow.providers.databricks_air.operators.air import AirRunOperator

if Version(__version__) >= Version("3.1"):
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.hitl import HITLBranchOperator

    with DAG(
        dag_id="example_air_ask",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        tags=["example", "databricks-air"],
    ):
        # [START howto_air_ask]
        train = AirRunOperator(
            task_id="train",
            config_path="train.yaml",
            queue_timeout="{{ params.patience }}",
            polling_interval=2,
            params={"patience": 7200},
        )
        ask = HITLBranchOperator(
            task_id="ask",
            trigger_rule="all_failed",
            subject="No accelerators for two hours. What now?",
            options=["wait", "fall_back", "cancel"],
            defaults=["fall_back"],
            response_timeout=timedelta(hours=1),
        )
        wait = AirRunOperator(task_id="wait", config_path="train.yaml", deferrable=True, polling_interval=2)
        fall_back = AirRunOperator(
            task_id="fall_back",
            config_path="train.yaml",
            overrides={"compute": {"accelerator_type": "GPU_1xH100", "num_accelerators": 1}},
            polling_interval=2,
        )
        train >> ask >> [wait, fall_back, EmptyOperator(task_id="cancel")]
        # [END howto_air_ask]
