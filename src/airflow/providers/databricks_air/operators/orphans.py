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
"""The operator that looks for runs that nobody follows; for a maintenance Dag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["AirOrphanRunsOperator"]


class AirOrphanRunsOperator(BaseOperator):
    """Lists the runs of this Airflow that are alive and that no task follows, and ends them on request.

    Returns a list of mappings with ``run_id``, ``task`` and ``why``.

    :param databricks_air_conn_id: the connection to the workspace. (templated)
    :param cancel: whether to end what is found.
    """

    template_fields: Sequence[str] = ("databricks_air_conn_id",)
    ui_color = "#ffede8"

    def __init__(
        self,
        *,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        cancel: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.databricks_air_conn_id = databricks_air_conn_id
        self.cancel = cancel

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Look, and end what is found if that was asked for.

        :raises AirServiceError: when the workspace does not tell, or does not take a request.
        """
        from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
        from airflow.providers.databricks_air.lifecycle.end.orphans import (
            WorkerView,
            end_orphans,
            find_orphans,
        )
        from airflow.providers.databricks_air.lifecycle.follow.results import ENDS_TASK, task_error

        client = AirRuntimeHook(self.databricks_air_conn_id, caller=type(self).__name__).client
        try:
            found = list(find_orphans(client, WorkerView()))
            for orphan in found:
                self.log.warning("Run %s of %s: %s", orphan.run.run_id, orphan.task, orphan.why)
            if self.cancel:
                end_orphans(client, found)
        except ENDS_TASK as error:
            raise task_error(error) from None
        self.log.info(
            "%s runs that nobody follows%s", len(found), ", asked for their end" if self.cancel else ""
        )
        return [{"run_id": one.run.run_id, "task": one.task, "why": one.why} for one in found]
