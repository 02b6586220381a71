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
"""Run functions of the Dag file itself on accelerators."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    dag_id="example_air_taskflow",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["example", "databricks-air"],
):
    # [START howto_decorator_air_run]
    @task.air_run(accelerator_type="GPU_1xA10", num_accelerators=1, polling_interval=2)
    def fit(rate: float, epochs: int = 20) -> dict[str, Any]:
        """Fit a line by gradient descent; what the function needs, it imports itself."""
        import random

        noise = random.Random(7)
        points = [(x, 3 * x - 1 + noise.gauss(0, 0.1)) for x in (noise.random() for _ in range(500))]
        slope = intercept = 0.0
        for epoch in range(epochs):
            for x, y in points:
                error = slope * x + intercept - y
                slope, intercept = slope - rate * error * x, intercept - rate * error
            print(f"epoch {epoch}: y = {slope:.2f} x + {intercept:.2f}")
        return {"rate": rate, "slope": slope, "intercept": intercept}

    @task
    def report(models: list[dict[str, Any]]) -> None:
        """Print the model that came closest."""
        print(min(models, key=lambda model: abs(model["slope"] - 3)))

    report(fit.partial(epochs=5).expand(rate=[0.01, 0.1]))
    # [END howto_decorator_air_run]
