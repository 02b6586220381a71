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
"""Who else may see or manage a run and its MLflow experiment: granted after the submission, best effort."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api import calls
from airflow.providers.databricks_air.api.calls import Answer, Call
from airflow.providers.databricks_air.api.errors import ApiError, NotFoundError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.client import SyncClient
    from airflow.providers.databricks_air.run.permission import Permission

__all__ = ["grant"]

log = logging.getLogger(__name__)

# What a level on the run means for the experiment, which has other words.
_ON_EXPERIMENT = {
    "CAN_VIEW": "CAN_READ",
    "CAN_MANAGE_RUN": "CAN_EDIT",
    "CAN_MANAGE": "CAN_MANAGE",
    "IS_OWNER": "CAN_MANAGE",
}
_PATIENCE = 2.0
_INTERVAL = 0.1
# Nobody waits long for something that may fail.
_BUDGET = 10.0


def grant(
    client: SyncClient,
    permissions: Sequence[Permission],
    run_id: int,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Grant *permissions* on a run and on its MLflow experiment.

    A failure is said in one warning and is nothing more: the run exists already. The experiment is waited for
    2 s; a run that starts later grants its permissions on the run alone.

    :param client: the workspace.
    :param permissions: who and what.
    :param run_id: the run.
    :param sleep: waits that many seconds.
    """
    if not permissions:
        return
    try:
        run = client.perform(replace(calls.get_run(run_id), budget=_BUDGET))
        client.perform(_patch("jobs", str(run.job_id), [_entry(p, p.level) for p in permissions]))
    except ApiError as error:
        log.warning("The permissions on run %s could not be granted: %s", run_id, error)
        return
    try:
        experiment = _experiment(client, run.attempts[-1].run_id if run.attempts else run_id, sleep)
        if not experiment:
            log.warning(
                "The permissions on the experiment of run %s could not be granted: it does not exist yet",
                run_id,
            )
            return
        entries = [_entry(p, _ON_EXPERIMENT[p.level]) for p in permissions]
        client.perform(_patch("experiments", experiment, entries))
    except ApiError as error:
        log.warning(
            "The permissions on the MLflow experiment of run %s could not be granted: %s", run_id, error
        )


def _experiment(client: SyncClient, attempt_id: int, sleep: Callable[[float], None]) -> str:
    """Return the id of the MLflow experiment; empty when it does not appear in time."""
    for _ in range(round(_PATIENCE / _INTERVAL)):
        try:
            output = client.perform(replace(calls.get_output(attempt_id), budget=_BUDGET))
        except NotFoundError:
            output = calls.TaskOutput()
        if output.mlflow_experiment_id:
            return output.mlflow_experiment_id
        sleep(_INTERVAL)
    return ""


def _entry(permission: Permission, level: str) -> dict[str, str]:
    principal = permission.model_dump(
        include={"user_name", "group_name", "service_principal_name"}, exclude_none=True
    )
    return {**principal, "permission_level": level}


def _patch(kind: str, key: str, entries: Sequence[dict[str, str]]) -> Call[Any]:
    """``PATCH /api/2.0/permissions/{kind}/{id}``: add to the access list; who is on it stays."""
    body = {"access_control_list": list(entries)}
    return Call("PATCH", f"/api/2.0/permissions/{kind}/{key}", Answer.json, body=body, budget=_BUDGET)
