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

from aiohttp import web

from databricks_air_local.http.exchange import Access, Spool, route
from databricks_air_local.http.refusals import Refusal, malformed, missing, refuse
from databricks_air_local.state.seals import SEALED
from databricks_air_local.state.tree import parent_of

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.mlflow import Mlflow
    from databricks_air_local.state.seals import Sealer
    from databricks_air_local.state.tree import Entry, Tree

__all__ = ["VolumeFiles"]

_LARGEST_PAGE = 1000

_DIRECTORIES = "/api/2.0/fs/directories/{path:.*}"
_FILES = "/api/2.0/fs/files/{path:.*}"


def _content(entry: Entry) -> dict[str, Any]:
    name = entry.path.rpartition("/")[2]
    content: dict[str, Any] = {"name": name, "path": entry.path, "is_directory": entry.kind == "DIRECTORY"}
    if entry.blob is not None:
        content.update(file_size=entry.size, last_modified=entry.modified)
    return content


class VolumeFiles:
    """Directories and files on Volumes."""

    def __init__(
        self, volumes: Tree, inventory: Inventory, mlflow: Mlflow, sealer: Sealer, spool: Spool
    ) -> None:
        self._volumes = volumes
        self._inventory = inventory
        self._mlflow = mlflow
        self._sealer = sealer
        self._spool = spool

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("PUT", _DIRECTORIES, self.make_directory),
            route("HEAD", _DIRECTORIES, self.head_directory),
            route("GET", _DIRECTORIES, self.list_directory),
            route("DELETE", _DIRECTORIES, self.delete_directory),
            route("PUT", _FILES, self.write_file, spool=self._spool),
            route("GET", _FILES, self.read_file),
            route("HEAD", _FILES, self.read_file),
            route("DELETE", _FILES, self.delete_file),
            route("POST", "/api/2.0/fs/create-download-url", self.create_download_url),
            route("GET", SEALED + "{seal}/volumes{path:.*}", self.read_file, Access.SEALED),
        ]

    def path(self, path: object) -> str:
        """Return a canonical path on a volume.

        :raises Refusal: when it is not ``/Volumes/<catalog>/<schema>/<volume>…``, climbs, or there is no such volume.
        """
        canonical = self._volumes.canonical(path)
        self._inventory.check_volume(canonical)
        return canonical

    def check(self, path: str, *, overwrite: bool) -> None:
        """Check that a file can be written before its content is taken.

        Below the artifacts of an MLflow run directories come with their files, as MLflow's client expects.

        :raises Refusal: 404 without its parent, 409 when something is there.
        """
        parent = self._volumes.find(parent_of(path))
        if parent is None and self._mlflow.keeps(path):
            parent = self._volumes.mkdirs(parent_of(path))
        if parent is None or parent.kind != "DIRECTORY":
            raise missing(f"The parent folder ({parent_of(path)}) does not exist.")
        old = self._volumes.find(path)
        if old is not None and (old.kind == "DIRECTORY" or not overwrite):
            raise Refusal(409, "ALREADY_EXISTS", f"The file being created already exists: {path}")

    def write(self, path: str, content: Path, *, overwrite: bool) -> None:
        """Put a content file at a canonical path.

        :raises Refusal: as ``check``.
        """
        self.check(path, overwrite=overwrite)
        self._volumes.write(path, content, overwrite=overwrite)

    def make_directory(self, request: Request) -> web.StreamResponse:
        """``PUT /api/2.0/fs/directories{path}``."""
        try:
            self._volumes.mkdirs(self.path(request.file))
        except Refusal as refusal:
            if refusal.code == "RESOURCE_ALREADY_EXISTS":
                raise Refusal(409, "ALREADY_EXISTS", refusal.message) from None
            raise
        return web.Response(status=204)

    def head_directory(self, request: Request) -> web.StreamResponse:
        """``HEAD /api/2.0/fs/directories{path}``."""
        self._directory(request.file)
        return web.Response()

    def list_directory(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/fs/directories{path}``."""
        directory = self._directory(request.file)
        size = request.number("page_size", _LARGEST_PAGE)
        token = request.text("page_token", "")
        if not 1 <= size <= _LARGEST_PAGE:
            raise refuse(f"page_size must be between 1 and {_LARGEST_PAGE}, got {size}")
        found = [
            child for child in self._volumes.children(directory.path) if child.path.rpartition("/")[2] > token
        ]
        answer: dict[str, Any] = {"contents": [_content(child) for child in found[:size]]}
        if len(found) > size:
            answer["next_page_token"] = found[size - 1].path.rpartition("/")[2]
        return answer

    def delete_directory(self, request: Request) -> web.StreamResponse:
        """``DELETE /api/2.0/fs/directories{path}``: an empty one, and never a volume."""
        directory = self._directory(request.file)
        if self._volumes.children(directory.path) or directory.path.count("/") < 5:
            raise Refusal(
                400, "FILES_API_DIRECTORY_IS_NOT_EMPTY", f"The directory is not empty: {directory.path}"
            )
        self._volumes.delete(directory.path)
        return web.Response(status=204)

    def write_file(self, request: Request) -> web.StreamResponse:
        """``PUT /api/2.0/fs/files{path}``."""
        self.write(self.path(request.file), request.upload, overwrite=request.flag("overwrite"))
        return web.Response(status=204)

    def read_file(self, request: Request) -> web.StreamResponse:
        """``GET`` and ``HEAD /api/2.0/fs/files{path}``; a ``Range`` is honoured."""
        return self._download(self._file(request.file))

    def delete_file(self, request: Request) -> web.StreamResponse:
        """``DELETE /api/2.0/fs/files{path}``."""
        self._volumes.delete(self._file(request.file).path)
        return web.Response(status=204)

    def create_download_url(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/fs/create-download-url``: a URL that is its own credential."""
        body = request.json()
        path = body.get("path") or request.text("path")
        if not isinstance(path, str):
            raise malformed("path must be a string")
        entry = self._file(path)
        return {"url": self._sealer.url("GET", f"/volumes{entry.path}"), "headers": []}

    def _directory(self, path: str) -> Entry:
        entry = self._volumes.find(self.path(path))
        if entry is None or entry.kind != "DIRECTORY":
            raise missing(f"The directory being accessed is not found: {path}")
        return entry

    def _file(self, path: str) -> Entry:
        entry = self._volumes.find(self.path(path))
        if entry is None or entry.blob is None:
            raise missing(f"The file being accessed is not found: {path}")
        return entry

    def _download(self, entry: Entry) -> web.StreamResponse:
        kind = mimetypes.guess_type(entry.path)[0] or "application/octet-stream"
        headers = {"Content-Type": kind, "Last-Modified": formatdate(entry.modified / 1000, usegmt=True)}
        return web.FileResponse(self._volumes.blob(entry), headers=headers)
