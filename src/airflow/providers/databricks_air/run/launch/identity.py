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
"""Who asks for a run, and the names that follow from it: idempotency token and launch directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.launch.artifacts import Artifact

__all__ = ["TaskIdentity", "launch_directory"]


@dataclass(frozen=True)
class TaskIdentity:
    """One life of one task instance.

    :param dag_id: id of the Dag.
    :param run_id: id of the Dag run.
    :param incarnation: differs when a deleted Dag run is created again under the same id.
    :param task_id: id of the task.
    :param map_index: index of a mapped task; -1 otherwise.
    :param life: differs when a user clears the task; stays when Airflow retries it.
    """

    dag_id: str
    run_id: str
    incarnation: str
    task_id: str
    map_index: int
    life: str

    def of_life(self, life: str) -> TaskIdentity:
        """Return the same task instance in another life."""
        return replace(self, life=life)

    def token(self, generation: int) -> str:
        """Return the idempotency token, 64 hex characters.

        :param generation: how many runs of this life ended without success before.
        """
        # JSON keeps the fields apart: ("a", "b/c") and ("a/b", "c") must differ.
        text = json.dumps([*astuple(self), generation], ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def launch_directory(home: str, config: RunConfig, token: str, artifacts: Iterable[Artifact]) -> str:
    """Return the workspace directory for the files of one submission.

    The same submission repeated writes the same files; one with other content never touches
    those of a live run.

    :param home: the user's workspace directory (``/Workspace/Users/<user>``).
    :param config: the run configuration, whose names the directory bears.
    :param token: the idempotency token of the submission.
    :param artifacts: the files that will be written there.
    """
    digest = hashlib.sha256(token.encode())
    for artifact in sorted(artifacts, key=lambda artifact: artifact.path):
        for part in (artifact.path.encode(), artifact.content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    label = config.mlflow_run_name or config.experiment_name
    return f"{home}/.air/cli_launch/{config.experiment_name}/{label.strip()}_{digest.hexdigest()[:16]}"
