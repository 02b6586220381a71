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
"""The links of a task: to the run's page and to its MLflow run and experiment, from when they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

__all__ = [
    "LINKS",
    "MLFLOW_EXPERIMENT_URL_KEY",
    "MLFLOW_URL_KEY",
    "RUN_PAGE_URL_KEY",
    "AirMlflowExperimentLink",
    "AirMlflowRunLink",
    "AirRunLink",
]

RUN_PAGE_URL_KEY = "run_page_url"
MLFLOW_URL_KEY = "mlflow_url"
MLFLOW_EXPERIMENT_URL_KEY = "mlflow_experiment_url"


class _XComLink(BaseOperatorLink):
    """A link whose address is an XCom of the task."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        """The XCom that Airflow 3 reads the link from; pushed as soon as the address is known."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string before there is one."""
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class AirRunLink(_XComLink):
    """Opens the run's page in the workspace."""

    name = "AI Runtime run"
    key = RUN_PAGE_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string before there is a run.

        The process of a task asks for it last of all, when it has reported to Airflow how it ended.
        """
        if (after_report := getattr(operator, "after_report", None)) is not None:
            after_report()
        return super().get_link(operator, ti_key=ti_key)


class AirMlflowRunLink(_XComLink):
    """Opens the MLflow run of the latest attempt, with its metrics and artifacts."""

    name = "MLflow run"
    key = MLFLOW_URL_KEY


class AirMlflowExperimentLink(_XComLink):
    """Opens the MLflow experiment, with all runs of the same name."""

    name = "MLflow experiment"
    key = MLFLOW_EXPERIMENT_URL_KEY


LINKS = (AirRunLink(), AirMlflowRunLink(), AirMlflowExperimentLink())
"""What every task about a run shows."""
