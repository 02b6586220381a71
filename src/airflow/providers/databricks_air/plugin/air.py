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
"""What Airflow loads: where the pages are, and no more than that before somebody opens one."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_1_PLUS, airflow_instance

__all__ = ["PREFIX", "AirPlugin"]

PREFIX = "/databricks-air"
"""Where the pages are, below the address of Airflow."""
# Airflow 3.4 and later shows the tab on these tasks alone; a subclass has the name of its class.
_OPERATORS = ["AirRunOperator", "AirRunSensor", "@task.air_run"]


class AirPlugin(AirflowPlugin):
    """Shows AI Runtime in Airflow: a tab on task instances, and a page over all runs.

    Nothing is there on Airflow before 3.1, or with ``[databricks_air] page = False``. Every process of Airflow loads
    its plugins, and only the API server asks for the application.
    """

    name = "databricks_air"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application that makes the pages."""
        if not _is_wanted():
            return []
        from airflow.providers.databricks_air.plugin.app import make_app

        return [{"app": make_app(), "url_prefix": PREFIX, "name": "Databricks AI Runtime"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The places of the pages in Airflow's own."""
        if not _is_wanted():
            return []
        root = urlsplit(airflow_instance()).path + PREFIX
        task = "/dags/{DAG_ID}/task?run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
        return [
            {
                "name": "AI Runtime",
                "href": root + task,
                "destination": "task_instance",
                "url_route": "ai-runtime",
                "applies_to": {"operator_name": _OPERATORS},
            },
            {
                "name": "AI Runtime",
                "href": f"{root}/fleet",
                "destination": "nav",
                "category": "browse",
                "url_route": "ai-runtime-fleet",
            },
        ]


def _is_wanted() -> bool:
    return AIRFLOW_V_3_1_PLUS and conf.getboolean("databricks_air", "page", fallback=True)
