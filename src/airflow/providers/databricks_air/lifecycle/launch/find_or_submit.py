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
"""Finds the run of a task that an earlier try has started, or submits one; never two for one life.

The idempotency token is what makes it exact: the same life and generation get the same run, however often and
from however many processes they ask. The task state store, where Airflow has one, holds the token from before
the submission on, so that a later try knows it without the configuration that it was made for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError
from airflow.providers.databricks_air.api.launch.notes import is_cleared, live_runs, note_clear, read_note
from airflow.providers.databricks_air.api.watch.look import Patience, look, patiently
from airflow.providers.databricks_air.exceptions import AirServiceError
from airflow.providers.databricks_air.lifecycle.end.cancel import ask_for_end
from airflow.providers.databricks_air.lifecycle.owner.identity import Signs, cleared_since
from airflow.providers.databricks_air.lifecycle.owner.record import Memory, Record
from airflow.providers.databricks_air.run.launch.identity import TaskIdentity

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials
    from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Launcher", "RunFinder"]

log = logging.getLogger(__name__)

# Uploads and submits under a token; says the run's id at once, and returns it.
Launcher = Callable[[str, Callable[[int], None]], int]
# A Date header counts whole seconds, and clocks are compared over a network.
CLOCK_TOLERANCE = 2.0
# A first try has nothing to lose but itself: a token that was mistyped is said after seconds.
FRESH_PATIENCE = 20.0
END_SECONDS = 120.0
TERMINATING_SECONDS = 600.0


@dataclass
class RunFinder:
    """Finds or submits the run of one task instance.

    :param client: of the workspace.
    :param identity: who asks, as a try without a memory says it.
    :param signs: what Airflow shows of this try.
    :param memory: what earlier tries have left.
    :param policy: what the author wants to become of the run.
    :param begun_alone: asks Airflow whether no other task of the Dag run has begun.
    :param renew: returns fresh credentials after they were refused; None to keep them.
    :param patience: how long a refusal of the workspace must last.
    """

    client: SyncClient
    identity: TaskIdentity
    signs: Signs
    memory: Memory
    policy: RunPolicy
    begun_alone: Callable[[], bool | None] = lambda: None
    renew: Callable[[], Credentials] | None = None
    patience: Patience = field(default_factory=Patience)
    _next: Record | None = None

    def adopt(self) -> Run | None:
        """Return the live or successful run that an earlier try of this life has left a record of.

        Nothing but the record is needed for that: a configuration that is broken by now costs no run.

        :raises AirServiceError: when a run that has to end cannot be ended, or Airflow or the workspace do not answer.
        """
        record = self.memory.read()
        if record is None:
            return None
        cleared, why = (False, "") if self._adopts_any_life else self._cleared_since(record)
        if cleared or record.must_end:
            self._end(record, f"the task was cleared ({why})" if cleared else record.must_end)
            self._next = None if cleared else self._after(record)
            return None
        if record.run_id is None:
            self._next = record
            return None
        run = self._look_at_former(record.run_id)
        if run is not None and (run.is_success or not run.is_terminal):
            log.info("Run %s of an earlier try is %s; following it", run.run_id, run.phase)
            if cleared is None:
                log.warning(
                    "Nothing tells whether this task was cleared or lost (%s): the run of the earlier try is followed. "
                    "Cancel run %s and clear the task again for a fresh one",
                    why,
                    run.run_id,
                )
            return run
        log.info(
            "Run %s of an earlier try %s; starting a fresh one",
            record.run_id,
            f"ended as {run.state.word}" if run else "is gone",
        )
        self._next = self._after(record)
        return None

    def recover(self, token: str | None) -> Run | None:
        """Return the live run of an earlier try by the note beside it, where nothing else remembers.

        For a try whose configuration is broken by now: it can send no submission, whose token would tell.

        :param token: one that the author set; None for those made from the identity.
        :raises ApiError: when the workspace does not tell.
        """
        if self.memory.lasts or not self.policy.durable or self.signs.try_number == 1:
            return None
        ours = {token} if token else {self.identity.token(n) for n in range(self.signs.try_number)}
        for live in live_runs(self.client):
            if (read_note(self.client, live) or {}).get("idempotency_token") in ours:
                return look(self.client, live.run_id, self.patience, renew=self.renew)
        return None

    def submit(
        self,
        launch: Launcher,
        token: str | None = None,
        made_from: Mapping[str, str] | None = None,
        dag_version: str = "",
    ) -> Run:
        """Submit under one generation after the other until the answer is not an old failure.

        Each try of a life has used up at most one generation, which bounds the search.

        :param launch: uploads and submits under a token.
        :param token: one that the author set; None for the one made from the identity.
        :param made_from: what the run is made from, a short hash by field, for later tries to compare with.
        :param dag_version: the version of the Dag that it is made from.
        :raises ApiError: when the workspace does not answer, or refuses for long enough.
        """
        foreign = 0
        while True:
            planned = self._planned(token, made_from or {}, dag_version)
            self.memory.intend(planned)
            asked_at = time.time()
            run_id = self._launch(launch, planned.token)
            run = look(self.client, run_id, self.patience, renew=self.renew)
            is_old = run.start_time / 1000 < asked_at + self.client.clock_offset - CLOCK_TOLERANCE
            why_not = self._why_not(run) if is_old else ""
            if not why_not:
                if is_old and not run.is_terminal:
                    log.info("Run %s was submitted before and is %s; following it", run_id, run.phase)
                return run
            if token is not None:
                log.warning(
                    "The idempotency token that was set by hand belongs to run %s, which %s: "
                    "no new run was started. Change the token, or leave it out, to run again.",
                    run_id,
                    why_not,
                )
                return run
            self._end(replace(planned, run_id=run_id), why_not)
            if self._is_of_deleted_dag_run(run):
                foreign += 1
                note_clear(self.client, run.launch_directory)
            elif planned.generation - foreign >= self.signs.try_number - 1:
                return run
            log.info("Run %s of an earlier try %s; starting a fresh one", run_id, why_not)
            self._next = self._after(planned)

    def _why_not(self, run: Run) -> str:
        """Return why a run that was there before is none of this life; empty when it is one."""
        if self._is_of_deleted_dag_run(run):
            return "is of a Dag run that was deleted"
        if run.is_terminal and not run.is_success:
            return f"ended as {run.state.word}"
        # A store tells a clear better, where there is one.
        if not self.memory.lasts and is_cleared(self.client, run.launch_directory):
            return "is of before the task was cleared"
        return ""

    def _is_of_deleted_dag_run(self, run: Run) -> bool:
        """Say whether a run is older than this Dag run: only the identity for any life may find such a one."""
        if self.memory.lasts or not self._adopts_any_life or self.signs.begun is None:
            return False
        return run.start_time / 1000 < self.signs.begun + self.client.clock_offset - CLOCK_TOLERANCE

    @property
    def _adopts_any_life(self) -> bool:
        return self.policy.on_clear == "adopt"

    def _cleared_since(self, record: Record) -> tuple[bool | None, str]:
        return cleared_since(record.signs, self.signs, self.begun_alone)

    def _planned(self, token: str | None, made_from: Mapping[str, str], dag_version: str) -> Record:
        """Return the record of the run that is to be submitted now."""
        life = self._next.life if self._next else self.identity.life
        generation = self._next.generation if self._next else 0
        known = self._next.token if self._next else ""
        return Record(
            None,
            life,
            generation,
            token or known or self.identity.of_life(life).token(generation),
            self.signs.try_number,
            self.signs.max_tries,
            self.signs.clear_number,
            made_from=made_from,
            dag_version=dag_version,
        )

    def _after(self, record: Record) -> Record:
        """Return what comes after a run of this life that has ended without success."""
        return Record(None, record.life, record.generation + 1)

    def _launch(self, launch: Launcher, token: str) -> int:
        def created(run_id: int) -> None:
            self.memory.keep(run_id=run_id)

        # Where an earlier try may have left a run, giving up soon would burn the tries that are to follow it.
        may_exist = self._next is not None or (self.signs.try_number > 1 and not self.memory.lasts)
        limit = self.patience.denied if may_exist else min(FRESH_PATIENCE, self.patience.denied)
        patience = Patience(limit, 0.0, self.patience.first_pause)
        return patiently(lambda: launch(token, created), patience, renew=self._renew)

    def _renew(self) -> None:
        if self.renew is not None:
            self.client.credentials = self.renew()

    def _look_at_former(self, run_id: int) -> Run | None:
        """Return the run, or None when it is gone; one that is ending has its end awaited."""
        end = time.monotonic() + TERMINATING_SECONDS
        while True:
            try:
                run = look(self.client, run_id, self.patience, renew=self.renew)
            except NotFoundError:
                return None
            if run.is_terminal or run.state.life_cycle != "TERMINATING" or time.monotonic() >= end:
                return run
            time.sleep(self.patience.first_pause)

    def _end(self, record: Record, why: str) -> None:
        """End a run that must not live beside a fresh one.

        :raises AirServiceError: when it cannot be ended.
        """
        if record.run_id is None or self.policy.on_kill == "detach":
            return
        try:
            run = look(self.client, record.run_id, self.patience, renew=self.renew)
            if run.is_terminal:
                return
            log.info("Run %s is still %s; cancelling it: %s", run.run_id, run.phase, why)
            ask_for_end(self.client, run.run_id, END_SECONDS, self.patience, self._renew)
        except NotFoundError:
            return
        except ApiError as error:
            raise AirServiceError(
                f"Run {record.run_id} has to end ({why}) and could not be ended: {error}. No fresh run is started "
                'beside it. End it in the workspace and clear the task, or set on_kill="detach" to leave it alive'
            ) from None
