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
"""Uploads to Volumes in parts, through URLs that are their own credentials."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from databricks_air_local.http.exchange import Access, Spool, route
from databricks_air_local.http.refusals import integer, malformed, missing, refuse
from databricks_air_local.state.seals import SEALED

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.api.files.volumes import VolumeFiles
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.seals import Sealer
    from databricks_air_local.state.store import Store

__all__ = ["PartUploads"]

_MOST_PARTS = 10_000
_MOST_URLS = 1000


@dataclass
class Upload:
    """An upload that is under way; it does not survive the server.

    :param path: where the file will be.
    :param parts: by number, the tag and the content file of each part that arrived.
    """

    path: str
    overwrite: bool
    parts: dict[int, tuple[str, Path]] = field(default_factory=dict)


class PartUploads:
    """Uploads that come in parts."""

    def __init__(self, targets: VolumeFiles, store: Store, sealer: Sealer, spool: Spool) -> None:
        self._targets = targets
        self._store = store
        self._sealer = sealer
        self._spool = spool
        self._uploads: dict[str, Upload] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", "/api/2.0/fs/files/{path:.*}", self.act),
            route("POST", "/api/2.0/fs/create-upload-part-urls", self.create_part_urls),
            route("POST", "/api/2.0/fs/create-abort-upload-url", self.create_abort_url),
            route(
                "PUT", SEALED + "{seal}/parts/{token}/{number}", self.take_part, Access.SEALED, self._spool
            ),
            route("DELETE", SEALED + "{seal}/parts/{token}", self.abort, Access.SEALED),
        ]

    async def act(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/fs/files{path}?action={initiate,complete,abort}-upload``."""
        path = self._targets.path(request.file)
        action = request.text("action")
        if action == "initiate-upload":
            overwrite = request.flag("overwrite")
            self._targets.check(path, overwrite=overwrite)
            token = uuid.uuid4().hex
            self._uploads[token] = Upload(path, overwrite)
            return {"multipart_upload": {"session_token": token}}
        token = request.text("session_token")
        upload = self._upload(token, path)
        if action == "abort-upload":
            self._drop(token)
            return {}
        if action != "complete-upload":
            raise refuse(
                f"action '{action[:40]}' is not one of initiate-upload, complete-upload, abort-upload"
            )
        await self._complete(token, upload, request.json().get("parts"))
        return {}

    def create_part_urls(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/fs/create-upload-part-urls``."""
        body, token = request.json(), self._session(request)
        first = integer(body.get("start_part_number", 1), "start_part_number")
        count = integer(body.get("count", 1), "count")
        if first < 1 or not 1 <= count <= _MOST_URLS or first + count > _MOST_PARTS + 1:
            raise refuse(f"start_part_number and count must name parts between 1 and {_MOST_PARTS}")
        urls = [
            {
                "url": self._sealer.url("PUT", f"/parts/{token}/{number}"),
                "part_number": number,
                "headers": [],
            }
            for number in range(first, first + count)
        ]
        return {"upload_part_urls": urls}

    def create_abort_url(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/fs/create-abort-upload-url``."""
        url = self._sealer.url("DELETE", f"/parts/{self._session(request)}")
        return {"abort_upload_url": {"url": url, "headers": []}}

    def take_part(self, request: Request) -> web.StreamResponse:
        """Take a part at its URL."""
        upload = self._uploads.get(request.params["token"])
        number = integer(request.params["number"], "part_number")
        if upload is None or not 1 <= number <= _MOST_PARTS:
            raise missing("The specified upload does not exist")
        tag = uuid.uuid4().hex
        old = upload.parts.get(number)
        if old is not None:
            old[1].unlink(missing_ok=True)
        upload.parts[number] = (tag, request.upload)
        return web.Response(headers={"ETag": f'"{tag}"'})

    def abort(self, request: Request) -> web.StreamResponse:
        """Answer the URL that aborts an upload."""
        if request.params["token"] not in self._uploads:
            raise missing("The specified upload does not exist")
        self._drop(request.params["token"])
        return web.Response(status=204)

    def _session(self, request: Request) -> str:
        """Return the token of the upload that a body names."""
        token = request.json().get("session_token")
        if not isinstance(token, str):
            raise malformed("session_token must be a string")
        self._upload(token, self._targets.path(request.json().get("path")))
        return token

    def _upload(self, token: str, path: str) -> Upload:
        upload = self._uploads.get(token)
        if upload is None or upload.path != path:
            raise missing("The upload session does not exist")
        return upload

    async def _complete(self, token: str, upload: Upload, parts: object) -> None:
        files = _files(upload, parts)
        self._targets.check(upload.path, overwrite=upload.overwrite)
        # A second attempt to complete it, made meanwhile, finds no upload any more.
        del self._uploads[token]
        whole = self._store.new_blob()
        try:
            await asyncio.get_running_loop().run_in_executor(None, _join, files, whole)
            self._targets.write(upload.path, whole, overwrite=upload.overwrite)
        except BaseException:
            whole.unlink(missing_ok=True)
            self._uploads[token] = upload
            raise
        _remove(upload)

    def _drop(self, token: str) -> None:
        _remove(self._uploads.pop(token))


def _files(upload: Upload, parts: object) -> list[Path]:
    """Return the contents of the parts that a client names, in their order."""
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise refuse("complete-upload needs the list of parts with part_number and etag")
    files: dict[int, Path] = {}
    for part in parts:
        number = integer(part.get("part_number", 0), "part_number")
        tag, file = upload.parts.get(number, ("", None))
        if file is None or str(part.get("etag", "")).strip('"') != tag:
            raise refuse(f"Part {number} was not uploaded, or its etag is another")
        if number <= max(files, default=0):
            raise refuse("The parts must be in ascending order")
        files[number] = file
    return list(files.values())


def _join(files: list[Path], whole: Path) -> None:
    with whole.open("wb") as target:
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, target, 1024 * 1024)


def _remove(upload: Upload) -> None:
    for _, file in upload.parts.values():
        file.unlink(missing_ok=True)
