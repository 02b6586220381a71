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
"""The link from a task instance to the page of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

__all__ = ["RUN_PAGE_URL_KEY", "AirRunLink"]

RUN_PAGE_URL_KEY = "run_page_url"


class AirRunLink(BaseOperatorLink):
    """Opens the run's page in the workspace."""

    name = "AI Runtime run"

    @property
    def xcom_key(self) -> str:
        """The XCom that Airflow 3 reads the link from; pushed as soon as the run exists."""
        return RUN_PAGE_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string before there is a run.

        The process of a task asks for it last of all, when it has reported to Airflow how it ended.
        """
        if (after_report := getattr(operator, "after_report", None)) is not None:
            after_report()
        return XCom.get_value(key=RUN_PAGE_URL_KEY, ti_key=ti_key) or ""
