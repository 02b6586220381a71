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
"""Puts the files of a launch where the node finds them: what is missing, side by side."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError
from airflow.providers.databricks_air.api.http.together import in_thread, together
from airflow.providers.databricks_air.api.launch import storage, volumes

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.run.code.snapshot import Snapshot
    from airflow.providers.databricks_air.run.launch.artifacts import Artifact

__all__ = ["Progress", "Upload", "silent", "upload"]

Progress = Callable[[str, int, int], None]
"""Hears how far the code is: what is done with it, bytes done, bytes in all (0 while nobody knows)."""


def silent(doing: str, done: int, total: int) -> None:
    """Hear of progress and tell nobody."""


@dataclass(frozen=True)
class Upload:
    """The files of a launch, where they go, and what is there already.

    :param launch_dir: absolute Workspace path of the launch directory.
    :param artifacts: the files of the launch directory.
    :param snapshot: the code; None for a run without code.
    :param snapshot_path: absolute path of the packed code; None for a run without code.
    :param present: what is there already, with its size in bytes: the name of its directory, or its own, stands
        for what is in it.
    :param note: who asks for the run; written over an older one, for the newest try is who owns it.
    """

    launch_dir: str
    artifacts: tuple[Artifact, ...]
    snapshot: Snapshot | None = None
    snapshot_path: str | None = None
    present: Mapping[str, int] = field(default_factory=dict)
    note: Artifact | None = None

    @property
    def directories(self) -> list[str]:
        """The directories of the artifacts."""
        return sorted({storage.parent(self.path_of(artifact)) for artifact in self.artifacts})

    def path_of(self, artifact: Artifact) -> str:
        """Return the absolute path of *artifact*."""
        return f"{self.launch_dir}/{artifact.path}"


async def upload(client: AsyncClient, files: Upload, progress: Progress = silent) -> None:
    """Send what is missing.

    :param client: the workspace.
    :param files: what to send; the directories of the artifacts exist.
    :param progress: hears how far the code is, from whatever thread works on it.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: naming the file, when one cannot be written.
    """
    tasks: list[Callable[[], Awaitable[None]]] = [
        partial(_send_artifact, client, files.path_of(artifact), artifact.content)
        for artifact in files.artifacts
        if files.path_of(artifact) not in files.present
    ]
    if files.note is not None:
        tasks.append(partial(_send_artifact, client, files.path_of(files.note), files.note.content))
    if files.snapshot and files.snapshot_path and files.snapshot_path not in files.present:
        # First, since it takes longest.
        tasks.insert(0, partial(_send_snapshot, client, files.snapshot_path, files.snapshot, progress))
    await together(tasks)


async def _send_artifact(client: AsyncClient, path: str, content: bytes) -> None:
    with _naming(path):
        await storage.write_file(client, path, partial(io.BytesIO, content))


async def _send_snapshot(client: AsyncClient, path: str, snapshot: Snapshot, progress: Progress) -> None:
    make = partial(storage.make_directory, client, storage.parent(path))
    if storage.in_volume(path):
        with _naming(path):
            await make()
    with tempfile.NamedTemporaryFile(prefix="air-snapshot-", suffix=".tar.gz") as archive:
        await in_thread(partial(_pack, snapshot, archive, progress))
        archive.flush()
        send = partial(_send_archive, client, path, archive.name, archive.tell(), progress)
        with _naming(path):
            try:
                await send()
            except NotFoundError:
                # The first code in this home: making its directory each time would be one more step.
                await make()
                await send()


async def _send_archive(client: AsyncClient, path: str, archive: str, size: int, progress: Progress) -> None:
    sent = partial(_tell_sent, progress, size)
    if storage.in_volume(path) and size >= volumes.LARGE:
        await in_thread(partial(_send_large, client, path, archive, sent))
    else:
        await storage.add_file(client, path, partial(_Watched, archive, sent), size)


def _pack(snapshot: Snapshot, archive: IO[bytes], progress: Progress, check: Callable[[], None]) -> None:
    def packed() -> None:
        check()
        progress("Packing", archive.tell(), 0)

    snapshot.write_archive(archive, packed)


def _tell_sent(progress: Progress, size: int, done: int) -> None:
    progress("Uploading", done, size)


def _send_large(
    client: AsyncClient, path: str, file: str, sent: Callable[[int], None], check: Callable[[], None]
) -> None:
    def read(done: int) -> None:
        check()
        sent(done)

    volumes.add_large_file(client.credentials, path, partial(_Watched, file, read))


class _Watched(io.FileIO):
    """A file to send that tells how far it is read, to somebody who may break it off."""

    def __init__(self, path: str, seen: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._seen = seen

    def read(self, size: int | None = -1, /) -> Any:
        self._seen(self.tell())
        return super().read(-1 if size is None else size)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Say in an error which file it is about."""
    try:
        yield
    except ApiError as error:
        raise type(error)(
            f"{path} could not be uploaded: {error.message}",
            status=error.status,
            error_code=error.error_code,
            request=error.request,
            retry_after=error.retry_after,
        ) from None
