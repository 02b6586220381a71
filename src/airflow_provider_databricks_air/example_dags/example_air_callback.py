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
"""Send somebody the reason and the page of a run that failed: both are in the exception."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow.providers.databricks_air.exceptions import AirRunFailedError
from airflow.providers.databricks_air.operators.air import AirRunOperator


# [START howto_air_callback]
def tell(context: Any) -> None:
    """Print what a chat or a pager would be sent."""
    error = context["exception"]
    if isinstance(error, AirRunFailedError):
        print(f"{context['ti'].task_id}: {error.reason} See {error.run_page_url}")


# [END howto_air_callback]

with DAG(
    dag_id="example_air_callback",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
    default_args={"on_failure_callback": tell},
):
    train = AirRunOperator(
        task_id="train",
        config_path="train.yaml",
        overrides={"command": "echo 'CUDA out of memory' >&2; exit 1", "max_retries": 0},
        polling_interval=2,
    )
    AirRunOperator(
        task_id="smaller",
        config_path="train.yaml",
        overrides={"env_variables.EPOCHS": 2},
        polling_interval=2,
        trigger_rule="all_failed",
    ).set_upstream(train)
