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
"""The operator that cancels a run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID
from airflow.providers.databricks_air.links.air import LINKS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook

__all__ = ["AirCancelRunOperator"]


class AirCancelRunOperator(BaseOperator):
    """Cancels a run; one that has ended already, or is gone, stays as it is.

    Meant for clean-up with ``trigger_rule="all_done"``.

    :param run_id: id of the run; nothing is done when there is none. (templated)
    :param databricks_air_conn_id: the connection to the workspace. (templated)
    """

    template_fields: Sequence[str] = ("run_id", "databricks_air_conn_id")
    operator_extra_links = LINKS
    ui_color = "#ffede8"

    def __init__(
        self,
        *,
        run_id: int | str | None,
        databricks_air_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.databricks_air_conn_id = databricks_air_conn_id

    def execute(self, context: Context) -> None:
        """Ask for the end of the run.

        :raises AirConfigError: when ``run_id`` is not a run id.
        :raises AirServiceError: when the workspace does not take the request.
        """
        if self.run_id is None or self.run_id in ("", "None"):
            self.log.info("There is no run to cancel")
            return
        from airflow.providers.databricks_air.api.http.errors import RunNotFoundError
        from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
        from airflow.providers.databricks_air.lifecycle.follow.results import (
            ENDS_TASK,
            parse_run_id,
            task_error,
        )

        try:
            run_id = parse_run_id(self.run_id)
            hook = AirRuntimeHook(self.databricks_air_conn_id, caller=type(self).__name__)
            hook.cancel_run(run_id)
        except RunNotFoundError as error:
            self.log.info("There is nothing to cancel: %s", error)
        except ENDS_TASK as error:
            raise task_error(error) from None
        else:
            self.log.info("Run %s: asked for its end", run_id)
            self._link(context, hook, run_id)

    def _link(self, context: Context, hook: AirRuntimeHook, run_id: int) -> None:
        """Let the links of the task lead to the run; nothing depends on them."""
        from airflow.providers.databricks_air.api.http.errors import ApiError
        from airflow.providers.databricks_air.lifecycle.follow.links import run_links
        from airflow.providers.databricks_air.lifecycle.follow.results import Results

        links = run_links(hook.host, run_id)
        with contextlib.suppress(ApiError):
            run = hook.get_run(run_id)
            links = run_links(hook.host, run_id, run, Results(hook.client).output(run))
        ti: Any = context["ti"]
        for key, value in links.items():
            ti.xcom_push(key=key, value=value)
