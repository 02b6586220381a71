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
"""Runs and attempts: what is kept of them, and where they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.refusals import integer, refuse

if TYPE_CHECKING:
    from databricks_air_local.state.store import Store

__all__ = ["FAILED_MESSAGE", "GPUS_PER_NODE", "TERMINAL_STATES", "Attempt", "Run", "Runs"]

TERMINAL_STATES = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")

FAILED_MESSAGE = "Workload failed, see run output for details"
#: How many accelerators one node has.
GPUS_PER_NODE = {"GPU_1xA10": 1, "GPU_1xH100": 1, "GPU_8xH100": 8, "GPU_8xB300": 8}


@dataclass
class Attempt:
    """One try of a run.

    :param run_id: the task run id.
    :param number: 0 for the first.
    :param life: life-cycle state.
    :param result: result state, empty until the end.
    :param message: state message.
    :param status: the text after ``STATUS:`` in the run output, while waiting.
    :param created: milliseconds since the epoch.
    :param started: when the command began; 0 before.
    :param ended: 0 before.
    :param experiment_id: MLflow experiment, once the attempt started.
    :param mlflow_run_id: MLflow run, once the attempt started.
    :param code: termination code, when it is not the usual one of the result.
    :param queue_code: why it is queued.
    :param step: which step of a hold it is in.
    :param step_since: when that step began.
    """

    run_id: int
    number: int
    life: str = "PENDING"
    result: str = ""
    message: str = ""
    status: str = ""
    created: int = 0
    started: int = 0
    ended: int = 0
    experiment_id: str = ""
    mlflow_run_id: str = ""
    code: str = ""
    queue_code: str = ""
    step: int = 0
    step_since: int = 0


@dataclass
class Run:
    """A run as submitted and what became of it.

    :param body: the submit body.
    :param user: who submitted it.
    :param created: milliseconds since the epoch.
    :param plan: what a test said that this run does, instead of its command.
    :param cancelled: somebody asked for its end.
    :param deleted: hidden from every read; its idempotency token stays taken.
    :param outcome: the result of the run when it is not that of its last attempt: it was cancelled between two.
    :param ended: when that was.
    """

    run_id: int
    job_id: int
    body: dict[str, Any]
    user: str
    created: int
    attempts: list[Attempt] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    deleted: bool = False
    outcome: str = ""
    ended: int = 0

    @property
    def task(self) -> dict[str, Any]:
        """Return the one task of the submit body."""
        task: dict[str, Any] = self.body["tasks"][0]
        return task

    @property
    def air(self) -> dict[str, Any]:
        """Return the ``ai_runtime_task``."""
        air: dict[str, Any] = self.task["ai_runtime_task"]
        return air

    @property
    def compute(self) -> dict[str, Any]:
        """Return what it asks for: type and number of accelerators, perhaps a pool."""
        compute: dict[str, Any] = self.air["deployments"][0]["compute"]
        return compute

    @property
    def nodes(self) -> int:
        """Return how many nodes it has."""
        return int(self.compute["accelerator_count"]) // GPUS_PER_NODE[self.compute["accelerator_type"]]

    @property
    def commands(self) -> list[str]:
        """Return the path of the command of each node, by rank."""
        deployment = self.air["deployments"][0]
        paths = [str(deployment.get("command_path") or "")] * self.nodes
        for container in deployment.get("containers") or ():
            for rank in container["ranks"]:
                paths[rank] = container["command_path"]
        return paths

    @property
    def token(self) -> str:
        """Return its idempotency token; empty without."""
        return str(self.body.get("idempotency_token") or "")

    @property
    def experiment(self) -> str:
        """Return the experiment's name."""
        return str(self.air["experiment"])

    @property
    def max_retries(self) -> int:
        """Return how many attempts may follow the first; negative for no end."""
        return int(self.task.get("max_retries") or 0)

    @property
    def timeout(self) -> float:
        """Return the seconds that one attempt may take; 0 for no end."""
        return float(self.body.get("timeout_seconds") or self.task.get("timeout_seconds") or 0)

    @property
    def last(self) -> Attempt:
        """Return the newest attempt."""
        return self.attempts[-1]

    @property
    def active(self) -> bool:
        """Return whether it has not ended."""
        return self.life not in TERMINAL_STATES

    @property
    def life(self) -> str:
        """Return the run's life-cycle state: a failed task is an ``INTERNAL_ERROR`` of its run."""
        life = self.last.life
        if self.outcome:
            return "TERMINATED"
        if life == "WAITING_FOR_RETRY" and self.cancelled:
            return "TERMINATING"
        if life == "WAITING_FOR_RETRY" or (self.last.number and life in {"PENDING", "QUEUED"}):
            return "RUNNING"
        return "INTERNAL_ERROR" if life == "TERMINATED" and self.last.result == "FAILED" else life

    @property
    def result(self) -> str:
        """Return the run's result state; empty until its end."""
        return "" if self.active else self.outcome or self.last.result

    def to_document(self) -> dict[str, Any]:
        """Return the run for the store, which writes it at once: nothing is copied."""
        return {**vars(self), "attempts": [vars(attempt) for attempt in self.attempts]}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Run:
        """Return the run that was stored."""
        attempts = [Attempt(**attempt) for attempt in document.pop("attempts")]
        return cls(attempts=attempts, **document)


class Runs:
    """All runs, by their ids, those of their attempts, their MLflow runs and their tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[int, Run] = {}
        self._tasks: dict[int, tuple[Run, Attempt]] = {}
        self._of_mlflow: dict[str, tuple[Run, Attempt]] = {}
        self._by_token: dict[str, Run] = {}
        kept = [Run.from_document(document) for _, document in store.all("runs")]
        for run in sorted(kept, key=attrgetter("run_id")):
            self._remember(run)

    def __iter__(self) -> Iterator[Run]:
        """Return all runs, the oldest first, deleted ones too."""
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._runs)

    def newest_first(self) -> Iterator[Run]:
        """Return the runs that can be seen, the newest first."""
        return (run for run in reversed(self._runs.values()) if not run.deleted)

    def find(self, run_id: object) -> Run:
        """Return a run by the id of it or of one of its attempts.

        :raises Refusal: the 400 of an id that is no number, or of a run that does not exist.
        """
        number = integer(run_id, "run_id")
        run = self._runs.get(number) or (self._tasks[number][0] if number in self._tasks else None)
        if run is None or run.deleted:
            raise refuse(f"Run {str(run_id)[:40]} does not exist.")
        return run

    def attempt(self, run_id: int) -> Attempt:
        """Return the attempt that an id names; the first one for the id of a whole run.

        :raises Refusal: as ``find``.
        """
        run = self.find(run_id)
        return self._tasks[run_id][1] if run_id in self._tasks else run.attempts[0]

    def of_mlflow(self, mlflow_run_id: str) -> tuple[Run, Attempt] | None:
        """Return the run and the attempt that an MLflow run belongs to."""
        return self._of_mlflow.get(mlflow_run_id)

    def of_token(self, token: object) -> Run | None:
        """Return the run that was made with an idempotency token, deleted or not."""
        return self._by_token.get(token) if isinstance(token, str) else None

    def new(self, body: dict[str, Any], user: str, now: int) -> Run:
        """Return a run with its first attempt, which nobody sees before it is saved.

        :param body: the submit body, checked.
        :param now: milliseconds since the epoch.
        """
        run = Run(self._store.next_id(), self._store.next_id(), body, user, now)
        self.new_attempt(run, now)
        return run

    def new_attempt(self, run: Run, now: int) -> Attempt:
        """Add an attempt to a run and return it."""
        run.attempts.append(Attempt(self._store.next_id(), len(run.attempts), created=now))
        return run.last

    def save(self, run: Run) -> None:
        """Write a run through to the disk."""
        self._remember(run)
        self._store.put("runs", str(run.run_id), run.to_document())

    def _remember(self, run: Run) -> None:
        self._runs[run.run_id] = run
        for attempt in run.attempts:
            self._tasks[attempt.run_id] = (run, attempt)
            if attempt.mlflow_run_id:
                self._of_mlflow[attempt.mlflow_run_id] = (run, attempt)
        if run.token:
            self._by_token[run.token] = run
