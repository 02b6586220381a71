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
"""Who else may see or manage a run and its MLflow experiment: granted after the submission, best effort."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError, ServiceError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.run.config.parts.permission import Permission
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["LateGrant", "experiment_entries", "grant", "grant_on_experiment"]

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


def grant(client: SyncClient, permissions: Sequence[Permission], run_id: int) -> None:
    """Grant *permissions* on a run.

    A failure is said in one warning and is nothing more: the run exists already.

    :param client: the workspace.
    :param permissions: who and what.
    :param run_id: the run.
    """
    if not permissions:
        return
    try:
        run = client.perform(calls.get_run(run_id).within(_BUDGET))
        client.perform(_patch("jobs", str(run.job_id), [_entry(p, p.level) for p in permissions]))
    except ApiError as error:
        log.warning("The permissions on run %s could not be granted: %s", run_id, error)


def experiment_entries(permissions: Sequence[Permission]) -> list[dict[str, str]]:
    """Return what *permissions* on a run mean for its MLflow experiment, as entries of an access list.

    :param permissions: who and what.
    """
    return [_entry(p, _ON_EXPERIMENT[p.level]) for p in permissions]


def grant_on_experiment(
    client: SyncClient,
    permissions: Sequence[Permission],
    run: Run,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Grant *permissions* on the MLflow experiment of a run that nobody watches; it is waited for 2 s.

    A failure is said in one warning.

    :param client: the workspace.
    :param permissions: who and what.
    :param run: the run.
    :param sleep: waits that many seconds.
    """
    if not permissions:
        return
    try:
        experiment = _experiment(client, run.latest.run_id if run.latest else run.run_id, sleep)
        if experiment:
            client.perform(_patch("experiments", experiment, experiment_entries(permissions)))
        else:
            log.warning("%s", _not_granted(run.run_id, "it does not exist yet, and the task does not wait"))
    except ApiError as error:
        log.warning("%s", _not_granted(run.run_id, error))


class LateGrant:
    """Grants access to the MLflow experiment of a run that is watched, as soon as the experiment is known.

    Granting again what is granted already changes nothing, so a watch that begins anew simply does.

    :param run_id: the run.
    :param entries: of the access list, see :func:`experiment_entries`.
    """

    def __init__(self, run_id: int, entries: Sequence[Mapping[str, str]]) -> None:
        self._run_id = run_id
        self._entries = entries

    @property
    def is_pending(self) -> bool:
        """Whether access is still to be granted."""
        return bool(self._entries)

    def poll(self, experiment_id: str, *, is_over: bool) -> Generator[Call[Any], Any, str]:
        """Grant if it is time to; return a warning, once, when nothing will come of it.

        :param experiment_id: the experiment; empty while it is not known.
        :param is_over: whether the run has ended, so that this is the last time.
        """
        if not self._entries or not (experiment_id or is_over):
            return ""
        warning = "" if experiment_id else _not_granted(self._run_id, "the run ended without one")
        if experiment_id:
            call = _patch("experiments", experiment_id, self._entries)
            try:
                yield call if is_over else call.once()
            except ApiError as error:
                if isinstance(error, ServiceError) and not is_over:
                    # The next look is soon enough.
                    return ""
                warning = _not_granted(self._run_id, error)
        self._entries = ()
        return warning


def _not_granted(run_id: int, why: object) -> str:
    return f"The permissions on the MLflow experiment of run {run_id} could not be granted: {why}"


def _experiment(client: SyncClient, attempt_id: int, sleep: Callable[[float], None]) -> str:
    """Return the id of the MLflow experiment; empty when it does not appear in time."""
    for _ in range(round(_PATIENCE / _INTERVAL)):
        try:
            output = client.perform(calls.get_output(attempt_id).within(_BUDGET))
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


def _patch(kind: str, key: str, entries: Sequence[Mapping[str, str]]) -> Call[Any]:
    """``PATCH /api/2.0/permissions/{kind}/{id}``: add to the access list; who is on it stays."""
    body = {"access_control_list": list(entries)}
    path = f"/api/2.0/permissions/{kind}/{quote(key, safe='')}"
    return Call("PATCH", path, Answer.json, body=body).within(_BUDGET)
