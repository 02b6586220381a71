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
"""Files of a workspace, wherever they are: below ``/Workspace`` or in a Unity Catalog volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from airflow.providers.databricks_air.api import calls
from airflow.providers.databricks_air.api.calls import Answer, Call
from airflow.providers.databricks_air.api.errors import NotFoundError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.client import SyncClient

__all__ = ["file_exists", "in_volume", "make_directory", "parent", "present_files", "write_file"]


def in_volume(path: str) -> bool:
    """Return whether *path* is in a Unity Catalog volume."""
    return path.startswith("/Volumes/")


def parent(path: str) -> str:
    """Return the directory of the remote *path*."""
    return path.rpartition("/")[0]


def file_exists(client: SyncClient, path: str) -> bool:
    """Return whether a file is at *path*.

    :raises ApiError: when the workspace cannot tell.
    """
    try:
        if in_volume(path):
            client.perform(_head_file(path))
        else:
            client.perform(calls.get_status(path))
    except NotFoundError:
        return False
    return True


def present_files(client: SyncClient, directory: str) -> frozenset[str]:
    """Return the paths of the files directly below a Workspace *directory*; none if it does not exist."""
    try:
        return client.perform(_list(directory))
    except NotFoundError:
        return frozenset()


def make_directory(client: SyncClient, path: str) -> None:
    """Make a directory and its parents; existing ones are fine."""
    call = _put_directory(path) if in_volume(path) else calls.mkdirs(path)
    client.perform(call)


def write_file(
    client: SyncClient, path: str, content: Callable[[], BinaryIO], *, timeout: float = 300.0
) -> None:
    """Write a file, over an old one; its directory exists.

    :param client: the workspace.
    :param path: absolute remote path.
    :param content: opens the bytes; called again for each try.
    :param timeout: seconds that the server may be silent.
    """
    if in_volume(path):
        client.perform(_put_file(path, content, timeout))
    else:
        client.perform(calls.import_file(path, content, timeout=timeout))


def _head_file(path: str) -> Call[None]:
    """``HEAD /api/2.0/fs/files{path}``: whether a volume has the file."""
    return Call("HEAD", f"/api/2.0/fs/files{quote(path)}", _nothing)


def _put_directory(path: str) -> Call[None]:
    """``PUT /api/2.0/fs/directories{path}``: a directory of a volume and its parents."""
    return Call("PUT", f"/api/2.0/fs/directories{quote(path)}", _nothing)


def _put_file(path: str, content: Callable[[], BinaryIO], timeout: float) -> Call[None]:
    """``PUT /api/2.0/fs/files{path}``: write a file of a volume, over an old one."""
    return Call(
        "PUT",
        f"/api/2.0/fs/files{quote(path)}",
        _nothing,
        query={"overwrite": "true"},
        content=content,
        timeout=timeout,
    )


def _list(directory: str) -> Call[frozenset[str]]:
    """``GET /api/2.0/workspace/list``: the files of a Workspace directory."""

    def read(answer: Answer) -> frozenset[str]:
        entries = answer.json().get("objects") or ()
        return frozenset(str(entry["path"]) for entry in entries if entry.get("object_type") == "FILE")

    return Call("GET", "/api/2.0/workspace/list", read, query={"path": directory})


def _nothing(_: Answer) -> None:
    return None
