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
"""What one try of a task leaves for the next one, and for others: the task state store and XComs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.exceptions import AirServiceError
from airflow.providers.databricks_air.lifecycle.attempts import is_gone
from airflow.providers.databricks_air.lifecycle.owner.identity import Signs
from airflow.providers.databricks_air.version_compat import read_own_xcom, state_store

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.version_compat import StateStore

__all__ = [
    "OWNER_KEY",
    "POSITION_KEY",
    "RUN_ID_KEY",
    "WATCH_KEY",
    "Memory",
    "Record",
    "TaskGoneError",
    "is_of_earlier_try",
    "known_run",
    "read_owner",
]

log = logging.getLogger(__name__)

RUN_ID_KEY = "run_id"
"""The XCom with the id of the task's run."""
OWNER_KEY = "databricks_air_owner"
"""The XCom in which the newest attempt says its number and its run; Airflow wipes it when an attempt begins."""
WATCH_KEY = "databricks_air_watch"
"""The XCom with what the trigger of this attempt was told, and how often one was lost."""
POSITION_KEY = "databricks_air_log"
"""The XCom in which the trigger says which try it belongs to and how far it has printed the run's log."""
STORE_KEY = "databricks_air_run"
# Airflow's supervisor repeats what its API server does not answer; this is for what gets through.
STORE_TIMES = 3
STORE_PAUSE = 1.0


class TaskGoneError(AirServiceError):
    """Airflow knows this task instance no longer: it was cleared or deleted."""


@dataclass(frozen=True)
class Record:
    """What the task state store keeps of the newest run.

    :param run_id: id of the run; None from before its submission until its answer.
    :param life: the life that the run belongs to, as the first try of it was named.
    :param generation: how many runs of this life ended without success before.
    :param token: the idempotency token of the run; empty in a record of an older release.
    :param try_number: the try that left the record.
    :param max_tries: of that try; None in a record of an older release.
    :param clear_number: of that try; None where Airflow does not count.
    :param must_end: why the run has to end and could not be ended; empty when it may live.
    :param made_from: what the run was made from: a short hash by field of the configuration.
    :param dag_version: the version of the Dag that it was made from; empty where Airflow has none.
    """

    run_id: int | None
    life: str
    generation: int
    token: str = ""
    try_number: int = 0
    max_tries: int | None = None
    clear_number: int | None = None
    must_end: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)
    dag_version: str = ""

    @property
    def signs(self) -> Signs:
        """What Airflow showed of the try that left the record."""
        life = self.life.partition("/")[0]
        max_tries = self.max_tries if self.max_tries is not None else int(life) if life.isdigit() else -1
        return Signs(self.try_number, max_tries, 0, self.clear_number)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Record:
        """Read what an earlier try has stored, also one of another release.

        :raises ValueError: when it is no record.
        """
        known = {item.name for item in fields(cls)}
        try:
            run_id, generation = value["run_id"], int(value["generation"])
            given = {name: part for name, part in value.items() if name in known}
            return cls(
                **{
                    **given,
                    "run_id": None if run_id is None else int(run_id),
                    "life": str(value["life"]),
                    "generation": generation,
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{value!r} is no record of a run") from error


class Memory:
    """Keeps the record of a task's run where Airflow has a place for it.

    :param store: outlives the attempts; None where Airflow has none.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self.record: Record | None = None

    @property
    def lasts(self) -> bool:
        """Whether a later try can read what is kept."""
        return self._store is not None

    def read(self) -> Record | None:
        """Return the record of an earlier try; None when there is none.

        :raises AirServiceError: when Airflow does not tell: a fresh run beside an unknown one costs more.
        """
        if self._store is None:
            return None
        value = self._patiently(lambda store: store.get(STORE_KEY))
        if not value:
            return None
        try:
            self.record = Record.parse(value)
        except ValueError:
            log.warning(
                "The stored record of the run cannot be read (%r); relying on the idempotency token", value
            )
        return self.record

    def intend(self, record: Record) -> None:
        """Keep what is about to be submitted.

        :raises TaskGoneError: when this task instance was cleared or deleted.
        :raises AirServiceError: when Airflow does not keep it: nobody would find the run after a clear.
        """
        self.record = record
        if self._store is not None:
            self._patiently(lambda store: store.set(STORE_KEY, asdict(record)))

    def keep(self, **changes: Any) -> None:
        """Keep what has become known; an error of Airflow costs no run.

        :raises TaskGoneError: when this task instance was cleared or deleted.
        """
        if self.record is not None:
            self.record = replace(self.record, **changes)
        if self._store is None or self.record is None:
            return
        try:
            self._store.set(STORE_KEY, asdict(self.record))
        except Exception as error:  # noqa: BLE001 - Airflow has many errors, and one that matters
            if is_gone(error):
                raise TaskGoneError(f"Airflow knows this task instance no longer ({error})") from None
            log.warning("The record of run %s could not be kept: %s", self.record.run_id, error)

    def _patiently(self, ask: Any) -> Any:
        for left in reversed(range(STORE_TIMES)):
            try:
                return ask(self._store)
            except Exception as error:  # noqa: BLE001 - Airflow has many errors, and one that matters
                if is_gone(error):
                    raise TaskGoneError(f"Airflow knows this task instance no longer ({error})") from None
                if not left:
                    raise AirServiceError(f"Airflow's task state store does not answer: {error}") from None
                time.sleep(STORE_PAUSE)
        raise AssertionError("the last try returns or raises")


def is_of_earlier_try(context: Context) -> bool:
    """Say whether the event that a try resumes with was meant for an earlier one.

    A task that is cleared while it runs keeps what Airflow wants to resume it with: the next try begins where the
    cleared one has begun, with its event. Where no attempt has left a marker, the cleared one may have tidied up
    already; to begin anew finds the run again, if it is still the task's.

    :param context: of the running task.
    """
    ti: Any = context["ti"]
    owner = ti.xcom_pull(task_ids=ti.task_id, key=OWNER_KEY, map_indexes=ti.map_index)
    newest = int(owner[0]) if isinstance(owner, list | tuple) and len(owner) == 2 else 1
    return newest < int(ti.try_number)


def read_owner(ti: Any, key: str) -> tuple[int, int] | None:
    """Return the marker in which the newest attempt says its number and its run's id.

    Blocks on Airflow's own channel: call it from a helper thread.

    :param ti: anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: key of the XCom.
    """
    value = read_own_xcom(ti, key)
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) and len(value) == 2 else None


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
