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
"""The addresses behind a task's links: XComs, pushed by whoever learns them first, worker or trigger."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.lifecycle.end.helper_thread import ask_apart
from airflow.providers.databricks_air.links.air import (
    MLFLOW_EXPERIMENT_URL_KEY,
    MLFLOW_URL_KEY,
    RUN_PAGE_URL_KEY,
)
from airflow.providers.databricks_air.run.outcome.result import experiment_url, mlflow_url, page_url
from airflow.providers.databricks_air.version_compat import write_own_xcom

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.calls import TaskOutput
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["mlflow_links", "push_links", "run_links"]

log = logging.getLogger(__name__)

# A triggerer's supervisor may have to build its API first.
PUSH_SECONDS = 60.0

_under_way: set[asyncio.Task[None]] = set()


def mlflow_links(host: str, output: TaskOutput) -> dict[str, str]:
    """Return the addresses of an attempt's MLflow run and experiment by XCom key; none as long as they are unknown.

    :param host: the workspace URL.
    :param output: what the attempt says.
    """
    values = {
        MLFLOW_URL_KEY: mlflow_url(host, output.mlflow_experiment_id, output.mlflow_run_id),
        MLFLOW_EXPERIMENT_URL_KEY: experiment_url(host, output.mlflow_experiment_id),
    }
    return {key: value for key, value in values.items() if value}


def run_links(
    host: str, run_id: int, run: Run | None = None, output: TaskOutput | None = None
) -> dict[str, str]:
    """Return the addresses of a run by XCom key, as far as they are known.

    :param host: the workspace URL.
    :param run_id: id of the run.
    :param run: the run, once it was seen.
    :param output: what its latest attempt says.
    """
    page = page_url(host, run) if run is not None else f"{host}/jobs/runs/{run_id}"
    return {RUN_PAGE_URL_KEY: page, **(mlflow_links(host, output) if output is not None else {})}


def push_links(ti: Any, host: str, output: TaskOutput) -> None:
    """Push the addresses from a trigger, in a task of its own: nothing waits for a link.

    :param ti: the task instance; None where Airflow gives none.
    :param host: the workspace URL.
    :param output: what the attempt says.
    """
    if ti is not None and (values := mlflow_links(host, output)):
        task = asyncio.create_task(_push(ti, values))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)


async def _push(ti: Any, values: dict[str, str]) -> None:
    try:
        for key, value in values.items():
            await ask_apart(PUSH_SECONDS, write_own_xcom, ti, key, value)
    except Exception as error:  # noqa: BLE001 - the run is followed without a link
        log.debug("The links could not be pushed: %s", error)
