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
"""What a launch would do, found out with nothing but reads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.retry import RetryRule
from airflow.providers.databricks_air.api.launch.launch import Launch, ask, prepare

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials
    from airflow.providers.databricks_air.run.code.snapshot import Snapshot
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["EXAMPLE_TOKEN", "Plan", "PlannedFile", "plan", "planning_client"]

EXAMPLE_TOKEN = "token-of-the-airflow-task"  # noqa: S105 - it stands for one
"""What stands for the token where there is no running task to make one."""

_PATIENCE = 10.0


@dataclass(frozen=True)
class PlannedFile:
    """One file of a launch.

    :param path: absolute remote path.
    :param size: bytes.
    :param state: ``new`` for one that would be sent, ``reused`` for one that is there.
    """

    path: str
    size: int
    state: str


@dataclass(frozen=True)
class Plan:
    """A launch that was not carried out.

    :param code: where the code comes from; empty for a run without code.
    :param files: every file that the run needs, and where it is or would be.
    :param body: the body of ``runs/submit``.
    """

    code: str
    files: tuple[PlannedFile, ...]
    body: dict[str, Any]

    def to_text(self) -> str:
        """Return the plan for people."""
        lines = [f"Code: {self.code}"] if self.code else []
        lines.append("Files:")
        lines += [f"  {file.state:<6} {_shown_size(file.size):>10}  {file.path}" for file in self.files]
        lines += [
            "Body of POST /api/2.2/jobs/runs/submit:",
            json.dumps(self.body, indent=2, ensure_ascii=False),
        ]
        return "\n".join(lines)


def planning_client(credentials: Credentials) -> SyncClient:
    """Return a client for plans: a person waits for them, and learns after seconds that there is no answer.

    :param credentials: the workspace and who asks.
    """
    return SyncClient(credentials, rule=RetryRule(patience=_PATIENCE))


def plan(client: SyncClient, config: RunConfig, *, token: str, base_dir: Path | None = None) -> Plan:
    """Return what a launch would upload and submit now.

    Nothing is written anywhere; code that is new is packed to measure it, and thrown away.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: the idempotency token, at most 64 characters; the launch directory depends on it.
    :param base_dir: the directory that a relative ``code_source.root_path`` starts from; that of the
        configuration file when None.
    :raises ConfigError: when the workspace refuses the configuration.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: when the workspace cannot be asked.
    """
    ready = client.run(_asked(client.calls, config, token, base_dir))
    snapshot = ready.files.snapshot
    code = f"{snapshot.origin} of {snapshot.dirname}" if snapshot else ""
    return Plan(code, tuple(_files(ready)), ready.body)


async def _asked(client: AsyncClient, config: RunConfig, token: str, base_dir: Path | None) -> Launch:
    return await ask(client, await prepare(client, config, token=token, base_dir=base_dir))


def _files(ready: Launch) -> Iterator[PlannedFile]:
    files = ready.files
    if files.snapshot and files.snapshot_path:
        size = files.present.get(files.snapshot_path)
        yield (
            PlannedFile(files.snapshot_path, _packed_size(files.snapshot), "new")
            if size is None
            else PlannedFile(files.snapshot_path, size, "reused")
        )
    for artifact in files.artifacts:
        path = files.path_of(artifact)
        yield PlannedFile(path, len(artifact.content), "reused" if path in files.present else "new")


def _packed_size(snapshot: Snapshot) -> int:
    with tempfile.TemporaryFile() as file:
        snapshot.write_archive(file)
        return file.tell()


def _shown_size(size: int) -> str:
    amount, units = float(size), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    while amount >= 1024 and unit != "GiB":
        amount, unit = amount / 1024, next(units)
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
