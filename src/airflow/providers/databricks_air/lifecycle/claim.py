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
"""One task instance's hold on its run: find the run that it has, or launch the one that it needs.

For one life of a task instance at most one run is alive at any moment, and a run that was created is
never lost. The idempotency token closes the gap between 'the server created it' and 'we stored it'; the
task state store, where Airflow has one, saves the upload and the extra call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.calls import cancel_run, get_run
from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError
from airflow.providers.databricks_air.run.launch.identity import TaskIdentity
from airflow.providers.databricks_air.version_compat import state_store

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.lifecycle.ownership import OnClear, OnKill
    from airflow.providers.databricks_air.run.outcome.states import Run
    from airflow.providers.databricks_air.version_compat import StateStore

__all__ = ["RUN_ID_KEY", "Claim", "identity_of", "known_run"]

log = logging.getLogger(__name__)

RUN_ID_KEY = "run_id"
STORE_KEY = "databricks_air_run"
# A Date header counts whole seconds, and clocks are compared over a network.
CLOCK_TOLERANCE = 2.0


def identity_of(context: Context, on_clear: OnClear) -> TaskIdentity:
    """Return who asks for a run.

    ``max_tries`` is the life: a clear adds to it, a retry does not. The Dag run's start tells a re-created
    Dag run from the deleted one; it stays as it is while any task of the Dag run is unfinished. With
    ``on_clear="adopt"`` every life is the same, and so is the Dag run after a clear.

    :param context: of the running task.
    :param on_clear: what a clear means for the run.
    """
    ti: Any = context["ti"]
    dag_run: Any = context["dag_run"]
    adopt = on_clear == "adopt"
    began = getattr(dag_run, "run_after", None) if adopt else dag_run.start_date
    return TaskIdentity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        # The Dag run's row id is there in Airflow 2 only.
        incarnation=f"{getattr(dag_run, 'id', '')}/{began.isoformat() if began else ''}",
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        life="" if adopt else str(ti.max_tries),
    )


@dataclass(frozen=True)
class Record:
    """What the task state store keeps of the newest run."""

    run_id: int
    life: str
    generation: int


def known_run(context: Context) -> int | None:
    """Return the run that this attempt, or an earlier one of the same life, has left a note of.

    :param context: of the running task.
    """
    ti: Any = context["ti"]
    run_id = ti.xcom_pull(task_ids=ti.task_id, key=RUN_ID_KEY, map_indexes=ti.map_index)
    if run_id:
        return int(run_id)
    store = state_store(context)
    value = store.get(STORE_KEY) if store is not None else None
    return int(value["run_id"]) if isinstance(value, dict) and value.get("run_id") else None


@dataclass
class Claim:
    """Finds or launches the run of one task instance.

    :param client: of the workspace.
    :param identity: who asks.
    :param submit: uploads and submits under a token; says the run's id at once, and returns it.
    :param store: outlives the attempts; None where Airflow has none.
    :param try_number: the attempt that asks, counted from 1.
    :param token: an idempotency token that the author set; None for the one made from the identity.
    :param on_kill: whether a run that nobody follows any more is cancelled.
    """

    client: SyncClient
    identity: TaskIdentity
    submit: Callable[[str, Callable[[int], None]], int]
    store: StateStore | None
    try_number: int
    token: str | None
    on_kill: OnKill

    def obtain(self) -> Run:
        """Return the run to follow: a live or successful one of this life, or a fresh one.

        :raises ApiError: when the workspace does not answer.
        """
        record = self._stored()
        if record is None:
            return self._launch_from(0)
        if record.life != self.identity.life:
            self._abandon(record.run_id)
            return self._launch_from(0)
        run = self._look(record.run_id)
        if run is not None and (run.is_success or not run.is_terminal):
            log.info("Run %s of an earlier try is %s; following it", run.run_id, run.phase)
            return run
        log.info(
            "Run %s of an earlier try %s; starting a fresh one",
            record.run_id,
            f"ended as {run.state.word}" if run else "is gone",
        )
        return self._launch_from(record.generation + 1)

    def _launch_from(self, generation: int) -> Run:
        """Submit under one generation after the other until the answer is not an old failure.

        Each try of this life has used up at most one generation, which bounds the search.
        """
        while True:
            asked_at = time.time()
            token = self.token or self.identity.token(generation)
            run_id = self.submit(token, partial(self._keep, generation))
            run = self.client.perform(get_run(run_id))
            is_old = run.start_time / 1000 < asked_at + self.client.clock_offset - CLOCK_TOLERANCE
            if is_old and not run.is_terminal:
                log.info("Run %s was submitted before and is %s; following it", run_id, run.phase)
            if not is_old or run.is_success or not run.is_terminal:
                return run
            if self.token is not None:
                log.warning(
                    "The idempotency token that was set by hand belongs to run %s, which ended as %s before: "
                    "no new run was started. Change the token, or leave it out, to run again.",
                    run_id,
                    run.state.word,
                )
                return run
            if generation >= self.try_number - 1:
                return run
            log.info("Run %s of an earlier try ended as %s; starting a fresh one", run_id, run.state.word)
            generation += 1

    def _stored(self) -> Record | None:
        value = self.store.get(STORE_KEY) if self.store is not None else None
        try:
            return (
                Record(int(value["run_id"]), str(value["life"]), int(value["generation"])) if value else None
            )
        except (KeyError, TypeError, ValueError):
            log.warning(
                "The stored record of the run cannot be read (%r); relying on the idempotency token", value
            )
            return None

    def _keep(self, generation: int, run_id: int) -> None:
        if self.store is not None:
            self.store.set(STORE_KEY, asdict(Record(run_id, self.identity.life, generation)))

    def _look(self, run_id: int) -> Run | None:
        try:
            return self.client.perform(get_run(run_id))
        except NotFoundError:
            return None

    def _abandon(self, run_id: int) -> None:
        """End the run of a former life: the user who cleared the task wants a fresh one."""
        run = self._look(run_id)
        if run is None or run.is_terminal or self.on_kill == "detach":
            return
        log.info(
            "Run %s of the task's life before it was cleared is still %s; cancelling it", run_id, run.phase
        )
        try:
            self.client.perform(cancel_run(run_id))
        except ApiError as error:
            log.warning("Run %s could not be cancelled: %s", run_id, error)
