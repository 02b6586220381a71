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
"""Every hour: end the runs that a task has asked for and no task follows any more."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow.providers.databricks_air.operators.air import AirOrphanRunsOperator

with DAG(
    dag_id="example_air_maintenance",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):
    # [START howto_operator_air_orphans]
    AirOrphanRunsOperator(task_id="orphans", cancel=True, pool="default_pool")
    # [END howto_operator_air_orphans]
