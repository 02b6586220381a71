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
"""Files of a workspace, wherever they are: below ``/Workspace`` or in a Unity Catalog volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["add_file", "in_volume", "make_directory", "parent", "present_file", "present_files", "write_file"]

# A server that is silent for so long has lost the upload; the time of the transfer itself does not count.
_SILENCE = 300.0
# Slow enough for any link that is worth using, in bytes per second.
_SLOWEST = 1_000_000


def in_volume(path: str) -> bool:
    """Return whether *path* is in a Unity Catalog volume."""
    return path.startswith("/Volumes/")


def parent(path: str) -> str:
    """Return the directory of the remote *path*."""
    return path.rpartition("/")[0]


async def present_file(client: AsyncClient, path: str) -> dict[str, int]:
    """Return the file at *path* with its size in bytes; nothing if there is none.

    :raises ApiError: when the workspace cannot tell.
    """
    try:
        if in_volume(path):
            return {path: await client.perform(_head_file(path))}
        return {path: int((await client.perform(calls.get_status(path))).get("size") or 0)}
    except NotFoundError:
        return {}


async def present_files(client: AsyncClient, directory: str) -> dict[str, int]:
    """Return the files directly below a Workspace *directory* with their sizes; none if it does not exist."""
    try:
        sizes = await client.perform(_list(directory))
    except NotFoundError:
        return {}
    return {f"{directory}/{name}": size for name, size in sizes.items()}


async def make_directory(client: AsyncClient, path: str) -> None:
    """Make a directory and its parents; existing ones are fine."""
    call = _put_directory(path) if in_volume(path) else calls.mkdirs(path)
    await client.perform(call)


async def write_file(client: AsyncClient, path: str, content: Callable[[], BinaryIO]) -> None:
    """Write a Workspace file, over an old one; its directory exists.

    :param client: the workspace.
    :param path: absolute remote path.
    :param content: opens the bytes; called again for each try.
    """
    await client.perform(calls.import_file(path, content, timeout=_SILENCE))


async def add_file(client: AsyncClient, path: str, content: Callable[[], BinaryIO], size: int) -> None:
    """Write a file whose name stands for its content; if somebody was faster, that is as good.

    A file that a live run may be reading is never replaced.

    :param client: the workspace.
    :param path: absolute remote path; its directory exists.
    :param content: opens the bytes; called again for each try.
    :param size: how many bytes.
    """
    call = _put_file(path, content) if in_volume(path) else calls.import_file(path, content, timeout=_SILENCE)
    patient = replace(call, query={"overwrite": "false"}, budget=_SILENCE + size / _SLOWEST)
    try:
        await client.perform(patient)
    except ConflictError:
        return


def _head_file(path: str) -> Call[int]:
    """``HEAD /api/2.0/fs/files{path}``: the size of a file of a volume."""

    def read(answer: Answer) -> int:
        return int(answer.headers.get("Content-Length") or 0)

    return Call("HEAD", f"/api/2.0/fs/files{quote(path)}", read)


def _put_directory(path: str) -> Call[None]:
    """``PUT /api/2.0/fs/directories{path}``: a directory of a volume and its parents."""
    return Call("PUT", f"/api/2.0/fs/directories{quote(path)}", _nothing)


def _put_file(path: str, content: Callable[[], BinaryIO]) -> Call[None]:
    """``PUT /api/2.0/fs/files{path}``: write a file of a volume."""
    return Call("PUT", f"/api/2.0/fs/files{quote(path)}", _nothing, content=content, timeout=_SILENCE)


def _list(directory: str) -> Call[dict[str, int]]:
    """``GET /api/2.0/workspace/list``: names and sizes of the files of a Workspace directory."""

    def read(answer: Answer) -> dict[str, int]:
        entries = answer.json().get("objects") or ()
        # The service may leave /Workspace out of a path, so only the last part is certain.
        return {
            str(entry["path"]).rpartition("/")[2]: int(entry.get("size") or 0)
            for entry in entries
            if entry.get("object_type") == "FILE"
        }

    return Call("GET", "/api/2.0/workspace/list", read, query={"path": directory})


def _nothing(_: Answer) -> None:
    return None
