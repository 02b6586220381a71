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
"""Train with several learning rates at once, never more than two at a time, and go on with the best."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow.providers.databricks_air.operators.air import AirRunOperator
from airflow.providers.databricks_air.sweep import best_of

with DAG(
    dag_id="example_air_sweep",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):
    # [START howto_operator_air_sweep]
    sweep = AirRunOperator.partial(
        task_id="sweep",
        config_path="train.yaml",
        deferrable=True,
        polling_interval=2,
        max_active_tis_per_dagrun=2,  # counts deferred tasks, too
    ).expand(overrides=[{"env_variables.LEARNING_RATE": rate} for rate in (0.1, 0.3, 0.9)])

    @task
    def choose(results: list[dict[str, Any]]) -> int:
        """Return the run with the smallest final loss."""
        best = best_of(results, "loss", mode="min")
        print(f"run {best['run_id']} has loss {best['metrics']['loss']}: {best['run_page_url']}")
        return int(best["run_id"])

    choose(sweep.output)
    # [END howto_operator_air_sweep]
