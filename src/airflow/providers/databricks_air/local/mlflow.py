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
"""Experiments and their runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.databricks_air.local.runs import Attempt, Run
    from airflow.providers.databricks_air.local.workspace import Workspace

__all__ = ["Mlflow"]


class Mlflow:
    """The tracking server's state."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def begin(self, run: Run, attempt: Attempt) -> tuple[str, str]:
        """Return the experiment id and the MLflow run id of a new attempt."""
        return str(self._ws.store.next_id()), uuid.uuid4().hex

    def end(self, mlflow_run_id: str, result: str) -> None:
        """Close the MLflow run of an attempt."""

    def log_script(self, mlflow_run_id: str, script: dict[str, Any]) -> None:
        """Log the metrics that a test said."""
