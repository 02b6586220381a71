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
"""Puts the files of a launch where the node finds them: what is missing, side by side."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from airflow.providers.databricks_air.api import storage
from airflow.providers.databricks_air.api.errors import ApiError
from airflow.providers.databricks_air.api.together import Together

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.client import SyncClient
    from airflow.providers.databricks_air.run.artifacts import Artifact

__all__ = ["Destination", "upload"]


@dataclass(frozen=True)
class Destination:
    """Where the files of a launch go, and what is there already.

    :param launch_dir: absolute Workspace path of the launch directory.
    :param present: absolute paths of the artifacts that are there; their directory's name stands for what is
        in them.
    :param snapshot_path: absolute path of the packed code; None for a run without code.
    :param snapshot_present: whether the packed code is there.
    """

    launch_dir: str
    present: frozenset[str] = frozenset()
    snapshot_path: str | None = None
    snapshot_present: bool = False

    def path_of(self, artifact: Artifact) -> str:
        """Return the absolute path of *artifact*."""
        return f"{self.launch_dir}/{artifact.path}"

    def is_present(self, artifact: Artifact) -> bool:
        """Return whether *artifact* was uploaded before."""
        return self.path_of(artifact) in self.present


def upload(client: SyncClient, artifacts: tuple[Artifact, ...], destination: Destination) -> None:
    """Send the artifacts that are missing at *destination*.

    :param client: the workspace.
    :param artifacts: the files of the launch directory, whose directories exist.
    :param destination: where they go.
    :raises ApiError: naming the file, when one cannot be written.
    """
    Together().run(_artifact_tasks(client, artifacts, destination))


def _artifact_tasks(
    client: SyncClient, artifacts: tuple[Artifact, ...], destination: Destination
) -> Iterator[Callable[[], None]]:
    for artifact in artifacts:
        if not destination.is_present(artifact):
            yield partial(
                _write, client, destination.path_of(artifact), partial(io.BytesIO, artifact.content)
            )


def _write(client: SyncClient, path: str, content: Callable[[], BinaryIO]) -> None:
    try:
        storage.write_file(client, path, content)
    except ApiError as error:
        raise type(error)(
            f"{path} could not be uploaded: {error.message}",
            status=error.status,
            error_code=error.error_code,
            request=error.request,
            retry_after=error.retry_after,
        ) from None
