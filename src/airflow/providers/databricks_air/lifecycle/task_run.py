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
"""One task instance and its run: adopt or submit, announce, hand over."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.databricks_air.exceptions import AirConfigError, AirServiceError
from airflow.providers.databricks_air.lifecycle.attempts import is_gone
from airflow.providers.databricks_air.lifecycle.end.worker import Worker
from airflow.providers.databricks_air.lifecycle.follow.lineage import with_parent
from airflow.providers.databricks_air.lifecycle.follow.links import mlflow_links
from airflow.providers.databricks_air.lifecycle.launch.find_or_submit import RunFinder
from airflow.providers.databricks_air.lifecycle.owner.identity import begun_alone, signs_of, task_identity
from airflow.providers.databricks_air.lifecycle.owner.note import owner_note
from airflow.providers.databricks_air.lifecycle.owner.record import (
    OWNER_KEY,
    POSITION_KEY,
    RUN_ID_KEY,
    WATCH_KEY,
    Memory,
    TaskGoneError,
)
from airflow.providers.databricks_air.links.air import RUN_PAGE_URL_KEY
from airflow.providers.databricks_air.run.errors import ConfigError
from airflow.providers.databricks_air.run.outcome.result import page_url
from airflow.providers.databricks_air.version_compat import delete_own_xcoms, state_store

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.api.http.calls import TaskOutput
    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
    from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy
    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["TaskRun", "Told", "deadline_of", "fingerprint"]

log = logging.getLogger(__name__)

BROKEN = "The configuration cannot be read any more; run %s goes on as it was made: %s"


class Told(NamedTuple):
    """What a trigger was told.

    :param watch: its arguments.
    :param lost: how many triggers of this try were lost.
    """

    watch: dict[str, Any]
    lost: int = 0


@dataclass
class TaskRun:
    """A running task instance, and the one run that it has or will have.

    :param context: of the running task.
    :param hook: of the connection.
    :param policy: what the author wants to become of the run.
    :param read: reads the configuration, and the directory that its relative paths start from.
    :param check: checks what is about the run and not in its configuration, before a submission.
    :param token: an idempotency token that was set on the operator; None for none.
    :param waits: whether the task waits for the end of its run.
    :ivar outcome: the result, or what is known of the run without one; empty before.
    """

    context: Context
    hook: AirRuntimeHook
    policy: RunPolicy
    read: Callable[[], tuple[RunConfig, Path]]
    check: Callable[[RunConfig], None] = lambda _: None
    token: str | None = None
    waits: bool = True
    config: RunConfig | None = field(init=False, default=None)
    outcome: Mapping[str, Any] = field(init=False, default_factory=dict)
    worker: Worker = field(init=False)
    _finder: RunFinder = field(init=False)
    _memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self._memory = Memory(state_store(self.context) if self.policy.durable else None)
        self._finder = RunFinder(
            self.hook.client,
            task_identity(self.context, self.policy),
            signs_of(self.context),
            self._memory,
            self.policy,
            begun_alone=lambda: begun_alone(self.context),
            renew=self.hook.get_credentials,
        )
        self.worker = Worker(self.hook.client, self.context, self.policy, self._memory)

    def adopt(self) -> Run | None:
        """Return the run that an earlier try of this life has left, if it is alive or succeeded.

        :raises AirServiceError: when Airflow or the workspace do not tell.
        """
        run = self.worker.tell_airflow(self._finder.adopt)
        if run is not None:
            self.worker.created(run.run_id)
            self._compare()
        return run

    def submit(self) -> Run:
        """Check, upload and submit once, and return the run.

        Where Airflow keeps nothing for a later try (up to 3.2), one whose configuration is broken by now follows the
        run that the workspace shows.

        :raises ConfigError: when the configuration has mistakes, or the workspace refuses it.
        :raises SnapshotError: when the code cannot be packed.
        :raises ApiError: when a request fails for good.
        """
        from airflow.providers.databricks_air.api.launch.launch import send_files, submit

        try:
            self.config, base_dir = config, _ = self.read()
        except (ConfigError, AirConfigError) as error:
            if (found := self._finder.recover(self.token)) is None:
                raise
            log.warning(BROKEN, found.run_id, error)
            self.worker.created(found.run_id)
            return found
        self.check(config)

        def start(token: str, created: Callable[[int], None]) -> int:
            def note(run_id: int) -> None:
                self.worker.created(run_id)
                created(run_id)

            owner = owner_note(self.context, self.policy, token=token, waits=self.waits)

            def go() -> int:
                client = self.hook.client
                given = with_parent(config, self.context["ti"])
                ready = send_files(client, given, token=token, base_dir=base_dir, owner=owner)
                self.worker.submitting(ready.body)
                return submit(client, ready, note)

            return self.worker.launch(go)

        token = self.token or config.idempotency_token
        run = self._finder.submit(start, token, fingerprint(config), self._dag_version)
        self.worker.created(run.run_id)
        return run

    def announce(self, run: Run, watch: Mapping[str, Any]) -> None:
        """Say where the run is, and leave what others need while it lasts.

        The marker of the owner comes last: a trigger of an earlier try that reads it may end the run of that try.

        :param run: the run that the task follows.
        :param watch: what a trigger would be told.
        :raises TaskGoneError: when Airflow knows this task instance no longer.
        """
        ti: Any = self.context["ti"]
        url = page_url(self.hook.host, run)
        log.info("AI Runtime run %s: %s", run.run_id, url)
        values = {
            RUN_PAGE_URL_KEY: url,
            RUN_ID_KEY: run.run_id,
            WATCH_KEY: {"watch": dict(watch), "lost": 0},
            OWNER_KEY: [ti.try_number, run.run_id],
        }
        self.worker.tell_airflow(lambda: self._push(values))

    def link(self, output: TaskOutput) -> None:
        """Let the links of the task lead to the MLflow run of an attempt.

        :param output: what the attempt says; nothing is done without its ids.
        """
        if values := mlflow_links(self.hook.host, output):
            self.push(values)

    def push(self, values: Mapping[str, Any]) -> None:
        """Push XComs of a run that is there; what Airflow does not take is no reason to fail.

        :param values: by key.
        """
        with contextlib.suppress(TaskGoneError):
            self.worker.tell_airflow(lambda: self._push(values))

    def tidy(self) -> None:
        """Take away the XComs that are ours alone, when nobody needs them any more."""
        keys = {WATCH_KEY, OWNER_KEY, POSITION_KEY} | (set() if self._pushes else {RUN_ID_KEY})
        self.worker.tell_airflow(lambda: delete_own_xcoms(self.context["ti"], keys))

    @property
    def _pushes(self) -> bool:
        return bool(getattr(self.context["ti"].task, "do_xcom_push", True))

    def resume(self, run_id: int) -> None:
        """Take the run over from an earlier process of this try.

        :param run_id: id of the run.
        """
        self.worker.created(run_id)
        try:
            self.worker.tell_airflow(self._memory.read)
        except AirServiceError as error:
            log.warning("What earlier tries have left cannot be read: %s", error)

    def told(self) -> Told:
        """Return what the trigger of this try was told; nothing but the run's id where it is not known."""
        ti: Any = self.context["ti"]
        value = ti.xcom_pull(task_ids=ti.task_id, key=WATCH_KEY, map_indexes=ti.map_index)
        if not isinstance(value, Mapping):
            return Told(
                {"databricks_air_conn_id": self.hook.databricks_air_conn_id, "on_kill": self.policy.on_kill}
            )
        return Told(dict(value["watch"]), int(value["lost"]))

    def remember_lost(self, told: Told) -> None:
        """Count a trigger that was lost."""
        self.worker.tell_airflow(
            lambda: self._push({WATCH_KEY: {"watch": dict(told.watch), "lost": told.lost + 1}})
        )

    def _push(self, values: Mapping[str, Any]) -> None:
        ti: Any = self.context["ti"]
        for key, value in values.items():
            if self.worker.is_killed:
                # The channel to Airflow is needed for the question who it was.
                return
            try:
                ti.xcom_push(key=key, value=value)
            except Exception as error:  # noqa: BLE001 - Airflow has many errors, and one that matters
                if is_gone(error):
                    raise TaskGoneError(f"Airflow knows this task instance no longer ({error})") from None
                log.warning("XCom %s could not be pushed: %s", key, error)

    @property
    def _dag_version(self) -> str:
        return str(getattr(self.context["ti"], "dag_version_id", None) or "")

    def _compare(self) -> None:
        """Say what of the configuration has changed since the adopted run was made."""
        record = self._memory.record
        if record is None:
            return
        if record.dag_version and record.dag_version != self._dag_version:
            log.warning("Run %s was made from another version of the Dag; it goes on as it is", record.run_id)
        try:
            self.config, _ = self.read()
            now = fingerprint(self.config)
        except Exception as error:  # noqa: BLE001 - the run is there, whatever the configuration says by now
            log.warning(BROKEN, record.run_id, error)
            return
        changed = sorted(
            name for name in {*now, *record.made_from} if now.get(name) != record.made_from.get(name)
        )
        if record.made_from and changed:
            log.warning(
                "Run %s was made from another configuration and goes on as it is; these fields differ by now: %s",
                record.run_id,
                ", ".join(changed),
            )


def fingerprint(config: RunConfig) -> dict[str, str]:
    """Return a short hash by field of a configuration, to say later which fields have changed.

    :param config: the checked run configuration.
    """
    fields = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
        for name, value in fields.items()
    }


def deadline_of(context: Context, seconds: float) -> float:
    """Return the epoch seconds at which ``execution_timeout`` passes, the same for Airflow and for a trigger.

    :param context: of the running task.
    :param seconds: the timeout.
    """
    began = getattr(context["ti"], "start_date", None)
    return (began.timestamp() if began is not None else time.time()) + seconds
