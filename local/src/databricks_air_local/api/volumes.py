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
"""The Files API: directories and files on Unity Catalog Volumes."""

from __future__ import annotations

import mimetypes
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Refusal, Reply, malformed, missing, refuse
from databricks_air_local.state.tree import parent_of

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.state.tree import Entry
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES", "check_target", "volume_path"]

_LARGEST_PAGE = 1000
_NO_CONTENT = 204


def volume_path(ws: Workspace, path: object) -> str:
    """Return a canonical path on a volume; the volume itself is made when it is first named.

    :raises Refusal: when it is not ``/Volumes/<catalog>/<schema>/<volume>…``, or climbs.
    """
    canonical = ws.volumes.canonical(path)
    parts = canonical.strip("/").split("/")
    if parts[0] != "Volumes" or len(parts) < 4:
        raise refuse(f"Path ({canonical[:300]}) must begin with /Volumes/<catalog>/<schema>/<volume>")
    ws.volumes.mkdirs("/" + "/".join(parts[:4]))
    return canonical


def check_target(ws: Workspace, path: str, *, overwrite: bool) -> None:
    """Check that a file can be written before its content is taken.

    Below the artifacts of an MLflow run directories come with their files, as MLflow's client expects.

    :raises Refusal: 404 without its parent, 409 when something is there.
    """
    parent = ws.volumes.find(parent_of(path))
    if parent is None and ws.mlflow.keeps(path):
        parent = ws.volumes.mkdirs(parent_of(path))
    if parent is None or parent.kind != "DIRECTORY":
        raise missing(f"The parent folder ({parent_of(path)}) does not exist.")
    old = ws.volumes.find(path)
    if old is not None and (old.kind == "DIRECTORY" or not overwrite):
        raise Refusal(409, "ALREADY_EXISTS", f"The file being created already exists: {path}")


def make_directory(ws: Workspace, request: Request) -> Reply:
    """``PUT /api/2.0/fs/directories{path}``."""
    try:
        ws.volumes.mkdirs(volume_path(ws, request.params["path"]))
    except Refusal as refusal:
        if refusal.code == "RESOURCE_ALREADY_EXISTS":
            raise Refusal(409, "ALREADY_EXISTS", refusal.message) from None
        raise
    return Reply(_NO_CONTENT)


def head_directory(ws: Workspace, request: Request) -> Reply:
    """``HEAD /api/2.0/fs/directories{path}``."""
    _directory(ws, request.params["path"])
    return Reply(200)


def list_directory(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/fs/directories{path}``."""
    directory = _directory(ws, request.params["path"])
    size = request.number("page_size", _LARGEST_PAGE)
    token = request.text("page_token", "")
    if not 1 <= size <= _LARGEST_PAGE:
        raise refuse(f"page_size must be between 1 and {_LARGEST_PAGE}, got {size}")
    found = [child for child in ws.volumes.children(directory.path) if child.path.rpartition("/")[2] > token]
    answer: dict[str, Any] = {"contents": [_content(child) for child in found[:size]]}
    if len(found) > size:
        answer["next_page_token"] = found[size - 1].path.rpartition("/")[2]
    return answer


def delete_directory(ws: Workspace, request: Request) -> Reply:
    """``DELETE /api/2.0/fs/directories{path}``: an empty one, and never a volume."""
    directory = _directory(ws, request.params["path"])
    if ws.volumes.children(directory.path) or directory.path.count("/") < 5:
        raise Refusal(
            400, "FILES_API_DIRECTORY_IS_NOT_EMPTY", f"The directory is not empty: {directory.path}"
        )
    ws.volumes.delete(directory.path)
    return Reply(_NO_CONTENT)


def write_file(ws: Workspace, request: Request) -> Reply:
    """``PUT /api/2.0/fs/files{path}``."""
    assert request.upload is not None
    path = volume_path(ws, request.params["path"])
    overwrite = request.flag("overwrite")
    check_target(ws, path, overwrite=overwrite)
    ws.volumes.write(path, request.upload, overwrite=overwrite)
    return Reply(_NO_CONTENT)


def read_file(ws: Workspace, request: Request) -> Reply:
    """``GET`` and ``HEAD /api/2.0/fs/files{path}``; a ``Range`` is honoured."""
    return _download(ws, _file(ws, request.params["path"]))


def delete_file(ws: Workspace, request: Request) -> Reply:
    """``DELETE /api/2.0/fs/files{path}``."""
    ws.volumes.delete(_file(ws, request.params["path"]).path)
    return Reply(_NO_CONTENT)


def create_download_url(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/fs/create-download-url``: a URL that is its own credential."""
    body = request.json()
    path = body.get("path") or request.text("path")
    if not isinstance(path, str):
        raise malformed("Could not parse request object: path must be a string")
    entry = _file(ws, path)
    return {"url": f"{ws.url}/local/download/{ws.tokens.node}/{entry.blob}", "headers": []}


def read_signed(ws: Workspace, request: Request) -> Reply:
    """Answer the URL that ``create-download-url`` gave."""
    for entry in ws.volumes.entries_with(request.params["blob"]):
        if request.params["signature"] == ws.tokens.node:
            return _download(ws, entry)
    raise missing("The specified key does not exist")


def _directory(ws: Workspace, path: str) -> Entry:
    entry = ws.volumes.find(volume_path(ws, path))
    if entry is None or entry.kind != "DIRECTORY":
        raise missing(f"The directory being accessed is not found: {path}")
    return entry


def _file(ws: Workspace, path: str) -> Entry:
    entry = ws.volumes.find(volume_path(ws, path))
    if entry is None or entry.blob is None:
        raise missing(f"The file being accessed is not found: {path}")
    return entry


def _download(ws: Workspace, entry: Entry) -> Reply:
    kind = mimetypes.guess_type(entry.path)[0] or "application/octet-stream"
    headers = {"Content-Type": kind, "Last-Modified": formatdate(entry.modified / 1000, usegmt=True)}
    return Reply(200, file=ws.volumes.blob(entry), headers=headers)


def _content(entry: Entry) -> dict[str, Any]:
    name = entry.path.rpartition("/")[2]
    content: dict[str, Any] = {"name": name, "path": entry.path, "is_directory": entry.kind == "DIRECTORY"}
    if entry.blob is not None:
        content.update(file_size=entry.size, last_modified=entry.modified)
    return content


_DIRECTORIES = "/api/2.0/fs/directories/{path:path}"
_FILES = "/api/2.0/fs/files/{path:path}"
ROUTES = [
    Route("PUT", _DIRECTORIES, make_directory),
    Route("HEAD", _DIRECTORIES, head_directory),
    Route("GET", _DIRECTORIES, list_directory),
    Route("DELETE", _DIRECTORIES, delete_directory),
    Route("PUT", _FILES, write_file, upload=True),
    Route("GET", _FILES, read_file),
    Route("HEAD", _FILES, read_file),
    Route("DELETE", _FILES, delete_file),
    Route("POST", "/api/2.0/fs/create-download-url", create_download_url),
    Route("GET", "/local/download/{signature}/{blob}", read_signed, public=True),
]
