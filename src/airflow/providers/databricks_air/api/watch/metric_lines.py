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
"""The newest metrics of a run, as a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import MlflowRun, mlflow_run
from airflow.providers.databricks_air.run.outcome.metrics import metrics_line

__all__ = ["MetricLines"]

TIMEOUT = 30.0


class MetricLines:
    """Says what the metrics are, when they have changed.

    :param interval: seconds between two looks.
    :param now: returns epoch seconds.
    """

    def __init__(self, interval: float, now: Callable[[], float]) -> None:
        self._interval = interval
        self._now = now
        self.due_at = 0.0
        """Epoch seconds of the next look."""
        self._said = ""

    def poll(self, mlflow_run_id: str) -> Generator[Call[Any], Any, str]:
        """Return a line, or nothing when it is too early or there is nothing new.

        :param mlflow_run_id: id of the MLflow run; empty while there is none.
        """
        if not mlflow_run_id or self._now() < self.due_at:
            return ""
        self.due_at = self._now() + self._interval
        try:
            run: MlflowRun = yield mlflow_run(mlflow_run_id).once(timeout=TIMEOUT)
        except ApiError:
            # A look that fails is a look less.
            return ""
        line = metrics_line(run.metrics)
        if line == self._said:
            return ""
        self._said = line
        return f"Metrics: {line}"
