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
"""The Workspace API: directories, files and notebooks."""

from __future__ import annotations

import base64
import binascii
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from aiohttp import web

from databricks_air_local.http.exchange import Spool, route
from databricks_air_local.http.refusals import Refusal, malformed, refuse

if TYPE_CHECKING:
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.store import Store
    from databricks_air_local.state.tree import Entry, Tree

__all__ = ["WorkspaceFiles"]

_NOTEBOOK_HEADER = b"# Databricks notebook source"
_EXPORT_LIMIT = 10 * 1024 * 1024
_LANGUAGES = {".py": "PYTHON", ".sql": "SQL", ".scala": "SCALA", ".r": "R"}
_FORMATS = ("SOURCE", "AUTO", "RAW", "HTML", "JUPYTER", "DBC", "R_MARKDOWN")


def _object_info(entry: Entry) -> dict[str, Any]:
    info: dict[str, Any] = {
        "object_type": entry.kind,
        "path": entry.path,
        "object_id": entry.object_id,
        "resource_id": str(entry.object_id),
    }
    if entry.kind != "DIRECTORY":
        info.update(created_at=entry.created, modified_at=entry.modified, size=entry.size)
    if entry.language:
        info["language"] = entry.language
    return info


def _is_form(request: Request) -> bool:
    return request.headers.get("Content-Type", "").lower().startswith("multipart/form-data")


def _import_form(request: Request) -> tuple[dict[str, Any], bytes]:
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    fields: dict[str, Any] = {}
    content = None
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        if name == "content":
            content = data
        else:
            fields[str(name)] = data.decode("utf-8", "replace")
    if content is None:
        raise refuse("Missing required field: content")
    return fields, content


def _import_json(request: Request) -> tuple[dict[str, Any], bytes]:
    fields = request.json()
    content = fields.get("content", "")
    if not isinstance(content, str):
        raise malformed("content must be a base64 string")
    try:
        return fields, base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("content is not base64") from None


class WorkspaceFiles:
    """Directories, files and notebooks."""

    def __init__(self, tree: Tree, store: Store, spool: Spool) -> None:
        self._tree = tree
        self._store = store
        self._spool = spool

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", "/api/2.0/workspace/mkdirs", self.mkdirs),
            route("GET", "/api/2.0/workspace/get-status", self.get_status),
            route(
                "POST", "/api/2.0/workspace-files/import-file/{path:.*}", self.import_file, spool=self._spool
            ),
            route("POST", "/api/2.0/workspace/import", self.import_object),
            route("GET", "/api/2.0/workspace/export", self.export),
            route("GET", "/api/2.0/workspace/list", self.list_objects),
            route("POST", "/api/2.0/workspace/delete", self.delete),
        ]

    def mkdirs(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/workspace/mkdirs``."""
        self._tree.mkdirs(request.json().get("path"))
        return {}

    def get_status(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/workspace/get-status``."""
        return _object_info(self._tree.get(request.text("path")))

    def import_file(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/workspace-files/import-file/{path}``: the raw body becomes the file."""
        path = request.file
        with request.upload.open("rb") as file:
            head = file.read(len(_NOTEBOOK_HEADER))
        language = None
        if path.endswith(".py") and head == _NOTEBOOK_HEADER:
            path, language = path[: -len(".py")], "PYTHON"
        self._tree.write(path, request.upload, overwrite=request.flag("overwrite"), language=language)
        return {}

    def import_object(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/workspace/import``: a form with a file part, or JSON with base64."""
        fields, content = _import_form(request) if _is_form(request) else _import_json(request)
        kind = fields.get("format") or "SOURCE"
        if kind not in _FORMATS:
            raise refuse(f"format '{str(kind)[:40]}' is not one of {', '.join(_FORMATS)}")
        path = self._tree.canonical(fields.get("path"))
        suffix = PurePosixPath(path).suffix.lower()
        language = fields.get("language")
        if kind == "AUTO":
            notebook = content.startswith(_NOTEBOOK_HEADER) and suffix == ".py"
            language = "PYTHON" if notebook else None
            path = path[: -len(suffix)] if notebook else path
        elif kind == "RAW":
            language = None
        elif not language and kind == "SOURCE":
            raise refuse(
                "The language of a notebook in format SOURCE is required; use format=AUTO for a file."
            )
        blob = self._store.write_blob(content)
        try:
            self._tree.write(
                path, blob, overwrite=fields.get("overwrite") in (True, "true"), language=language
            )
        except Refusal:
            blob.unlink()
            raise
        return {}

    def export(self, request: Request) -> Any:
        """``GET /api/2.0/workspace/export``: raw bytes, or JSON with base64."""
        path = request.text("path")
        entry = self._tree.get(path)
        if entry.blob is None:
            raise refuse(f"Path ({path}) is a directory and cannot be exported")
        if entry.size > _EXPORT_LIMIT:
            message = f"The size of {path} is above the limit of {_EXPORT_LIMIT} bytes"
            raise Refusal(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", message)
        file = self._tree.blob(entry)
        if request.flag("direct_download"):
            return web.FileResponse(file, headers={"Content-Type": "application/octet-stream"})
        kind = "py" if entry.language else PurePosixPath(entry.path).suffix.lstrip(".") or "file"
        return {"content": base64.b64encode(file.read_bytes()).decode(), "file_type": kind}

    def list_objects(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/workspace/list``."""
        entry = self._tree.get(request.text("path"))
        if entry.kind != "DIRECTORY":
            return {"objects": [_object_info(entry)]}
        objects = [_object_info(child) for child in self._tree.children(entry.path)]
        return {"objects": objects} if objects else {}

    def delete(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/workspace/delete``."""
        body = request.json()
        entry = self._tree.get(body.get("path"))
        if entry.path == "/":
            raise refuse("The root directory cannot be deleted")
        if self._tree.children(entry.path) and body.get("recursive") not in (True, "true"):
            raise Refusal(400, "DIRECTORY_NOT_EMPTY", f"Folder ({entry.path}) is not empty")
        self._tree.delete(entry.path)
        return {}
