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
"""The state of the server: one object that every handler is given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from databricks_air_local.api.submission import command_paths
from databricks_air_local.engine.dependencies import dependency_notice
from databricks_air_local.engine.lifecycle import Lifecycle
from databricks_air_local.engine.nodes import Nodes
from databricks_air_local.engine.streams import Streams
from databricks_air_local.http.wire import integer, refuse
from databricks_air_local.script.behaviours import Behaviours
from databricks_air_local.script.faults import Faults
from databricks_air_local.script.journal import Journal
from databricks_air_local.state.clock import Clock, RealClock
from databricks_air_local.state.mlflow import Mlflow
from databricks_air_local.state.runs import Attempt, Run
from databricks_air_local.state.store import Store
from databricks_air_local.state.tokens import Tokens
from databricks_air_local.state.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databricks_air_local.api.multipart import Upload

__all__ = ["Settings", "Workspace"]


_POLICIES = {"default": "11111111-2222-3333-4444-555555555555"}


@dataclass(frozen=True)
class Settings:
    """How a server behaves.

    :param user: who the token belongs to.
    :param workspace_id: the number in ``X-Databricks-Org-Id``.
    :param retry_wait: seconds between two attempts of a run.
    :param keep_runs: processes may outlive the server.
    :param latency: seconds that every answer is held back.
    :param install_dependencies: install what a run asks for, into environments that are kept.
    :param memory_limit: bytes of address space for each process of a node; 0 for no limit.
    :param cpus: processors for each node; 0 for all.
    :param requirements_notice: begin logs with the platform's line about a missing requirements file.
    :param artifact_layout: where logs lie in MLflow: ``new`` (by attempt) or ``old``.
    :param token_seconds: how long a token for client credentials is good.
    :param upload_limit: bytes of the largest file.
    :param secrets: values by ``scope/key``.
    :param policies: usage policies: ids by name.
    :param pools: GPU pools by id: accelerator type and count.
    """

    user: str = "you@example.com"
    workspace_id: int = 1234567890123456
    retry_wait: float = 0.1
    keep_runs: bool = False
    latency: float = 0.0
    install_dependencies: bool = False
    memory_limit: int = 0
    cpus: int = 0
    requirements_notice: bool = False
    artifact_layout: str = "new"
    token_seconds: float = 3600.0
    upload_limit: int = 5 * 1024**3
    secrets: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=lambda: dict(_POLICIES))
    pools: dict[str, tuple[str, int]] = field(default_factory=lambda: {"local-pool": ("GPU_8xH100", 16)})


class Workspace:
    """Everything the server knows.

    :param directory: where it is kept.
    :param settings: how it behaves.
    :param clock: the time runs live in.
    """

    def __init__(self, directory: Path, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or RealClock()
        self.url = ""
        self.last_request = 0.0
        self.page_key = secrets.token_hex(16)
        self.store = Store(directory)
        self.tokens = Tokens(self.store, self.clock)
        self.runs_directory = directory / "runs"
        self.workspace_files = Tree(self.store, self.clock, "workspace", alias="Workspace")
        self.volumes = Tree(self.store, self.clock, "volumes")
        self.artifacts = Tree(self.store, self.clock, "artifacts")
        trees = (self.workspace_files, self.volumes, self.artifacts)
        self.store.sweep_blobs(set().union(*(tree.blobs() for tree in trees)))
        for path in (f"/Users/{settings.user}", "/Shared"):
            self.workspace_files.mkdirs(path)
        self.volumes.mkdirs("/Volumes")
        self.streams = Streams(self.runs_directory)
        self.mlflow = Mlflow(self)
        self.nodes = Nodes(self)
        self.lifecycle = Lifecycle(self)
        self.behaviours = Behaviours()
        self.faults = Faults()
        self.journal = Journal()
        self.config_errors: list[dict[str, str]] = []
        self.secrets = settings.secrets
        self.uploads: dict[str, Upload] = {}
        self.images = dict(self.store.all("images"))
        self.grants = {key: held["grants"] for key, held in self.store.all("grants")}
        self.runs: dict[int, Run] = {}
        self.tasks: dict[int, tuple[Run, int]] = {}
        self._attempts: dict[str, tuple[Run, Attempt]] = {}
        self.by_token: dict[str, int] = {}
        kept = [Run.from_document(document) for _, document in self.store.all("runs")]
        for run in sorted(kept, key=attrgetter("run_id")):
            self._remember(run)

    def resume(self) -> None:
        """Take up the runs that were alive when the server stopped."""
        for run in list(self.runs.values()):
            if run.active:
                self.lifecycle.resume(run)

    def run(self, run_id: object) -> Run:
        """Return a run by the id of it or of one of its attempts.

        :raises Refusal: the 400 of an id that is no number, or of a run that does not exist.
        """
        number = integer(run_id, "run_id")
        run = self.runs.get(number) or self.tasks.get(number, (None, 0))[0]
        if run is None or run.deleted:
            raise refuse(f"Run {str(run_id)[:40]} does not exist.")
        return run

    def save(self, run: Run) -> None:
        """Write a run through to the disk."""
        self._remember(run)
        self.store.put("runs", str(run.run_id), run.to_document())

    def _remember(self, run: Run) -> None:
        self.runs[run.run_id] = run
        for index, attempt in enumerate(run.attempts):
            self.tasks[attempt.run_id] = (run, index)
            self._attempts[attempt.mlflow_run_id] = (run, attempt)
        token = run.body.get("idempotency_token")
        if token:
            self.by_token[token] = run.run_id

    def attempt_of(self, mlflow_run_id: str) -> tuple[Run, Attempt] | None:
        """Return the run and the attempt that an MLflow run belongs to."""
        return self._attempts.get(mlflow_run_id)

    def newest_first(self) -> Iterator[Run]:
        """Return all runs, the newest first."""
        return (run for run in reversed(self.runs.values()) if not run.deleted)

    def node_directory(self, run_id: int, attempt: int, rank: int) -> Path:
        """Return the directory of one node of one attempt."""
        return self.runs_directory / str(run_id) / f"attempt_{attempt}" / f"node_{rank}"

    def tree_of(self, path: str) -> Tree:
        """Return the namespace that a path belongs to."""
        return self.volumes if path.startswith("/Volumes/") else self.workspace_files

    def readable(self, path: str) -> bool:
        """Return whether a path names a file."""
        entry = self.tree_of(path).find(path)
        return entry is not None and entry.blob is not None

    def preamble(self, run: Run) -> list[str]:
        """Return the lines that the platform writes before the command's own."""
        notice = [] if self.settings.install_dependencies else dependency_notice(run.body)
        directory = command_paths(run.air)[0].rpartition("/")[0]
        if self.settings.requirements_notice and not self.readable(f"{directory}/requirements.yaml"):
            line = f"No co-located requirements.yaml at {directory}; skipping requirements.yaml install."
            notice.insert(0, line)
        return notice

    async def close(self) -> None:
        """Stop everything and close the store."""
        if self.settings.keep_runs:
            self.nodes.release()
        await self.lifecycle.close()
        await self.nodes.close()
        self.store.close()
