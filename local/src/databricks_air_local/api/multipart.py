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

import shutil
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databricks_air_local.api.volumes import check_target, volume_path
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Refusal, Reply, integer, malformed, missing, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES", "Upload"]

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


def act(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/fs/files{path}?action={initiate,complete,abort}-upload``."""
    path = volume_path(ws, request.params["path"])
    action = request.text("action")
    if action == "initiate-upload":
        overwrite = request.flag("overwrite")
        check_target(ws, path, overwrite=overwrite)
        token = uuid.uuid4().hex
        ws.uploads[token] = Upload(path, overwrite)
        return {"multipart_upload": {"session_token": token}}
    token = request.text("session_token")
    upload = _upload(ws, token, path)
    if action == "abort-upload":
        _drop(ws, token)
        return {}
    if action != "complete-upload":
        raise refuse(f"action '{action[:40]}' is not one of initiate-upload, complete-upload, abort-upload")
    _complete(ws, token, upload, request.json().get("parts"))
    return {}


def create_part_urls(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/fs/create-upload-part-urls``."""
    body = request.json()
    token = body.get("session_token")
    if not isinstance(token, str):
        raise malformed("Could not parse request object: session_token must be a string")
    _upload(ws, token, volume_path(ws, body.get("path")))
    first = integer(body.get("start_part_number", 1), "start_part_number")
    count = integer(body.get("count", 1), "count")
    if first < 1 or not 1 <= count <= _MOST_URLS or first + count > _MOST_PARTS + 1:
        raise refuse(f"start_part_number and count must name parts between 1 and {_MOST_PARTS}")
    urls = [
        {"url": f"{ws.url}/local/part/{token}/{number}", "part_number": number, "headers": []}
        for number in range(first, first + count)
    ]
    return {"upload_part_urls": urls}


def create_abort_url(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/fs/create-abort-upload-url``."""
    body = request.json()
    token = body.get("session_token")
    if not isinstance(token, str):
        raise malformed("Could not parse request object: session_token must be a string")
    _upload(ws, token, volume_path(ws, body.get("path")))
    return {"abort_upload_url": {"url": f"{ws.url}/local/part/{token}", "headers": []}}


def take_part(ws: Workspace, request: Request) -> Reply:
    """Take a part at its URL."""
    assert request.upload is not None
    upload = ws.uploads.get(request.params["token"])
    number = integer(request.params["number"], "part_number")
    if upload is None or not 1 <= number <= _MOST_PARTS:
        raise missing("The specified upload does not exist")
    tag = uuid.uuid4().hex
    old = upload.parts.get(number)
    if old is not None:
        old[1].unlink(missing_ok=True)
    upload.parts[number] = (tag, request.upload)
    return Reply(200, headers={"ETag": f'"{tag}"'})


def abort(ws: Workspace, request: Request) -> Reply:
    """Answer the URL that aborts an upload."""
    if request.params["token"] not in ws.uploads:
        raise missing("The specified upload does not exist")
    _drop(ws, request.params["token"])
    return Reply(204)


def _upload(ws: Workspace, token: str, path: str) -> Upload:
    upload = ws.uploads.get(token)
    if upload is None or upload.path != path:
        raise missing("The upload session does not exist")
    return upload


def _complete(ws: Workspace, token: str, upload: Upload, parts: object) -> None:
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise refuse("complete-upload needs the list of parts with part_number and etag")
    files = []
    for part in parts:
        number = integer(part.get("part_number", 0), "part_number")
        tag, file = upload.parts.get(number, ("", None))
        if file is None or str(part.get("etag", "")).strip('"') != tag:
            raise refuse(f"Part {number} was not uploaded, or its etag is another")
        files.append((number, file))
    if [number for number, _ in files] != sorted({number for number, _ in files}):
        raise refuse("The parts must be in ascending order")
    check_target(ws, upload.path, overwrite=upload.overwrite)
    whole = ws.store.new_blob()
    with whole.open("wb") as target:
        for _, file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, target, 1024 * 1024)
    try:
        ws.volumes.write(upload.path, whole, overwrite=upload.overwrite)
    except Refusal:
        whole.unlink()
        raise
    _drop(ws, token)


def _drop(ws: Workspace, token: str) -> None:
    for _, file in ws.uploads.pop(token).parts.values():
        file.unlink(missing_ok=True)


ROUTES = [
    Route("POST", "/api/2.0/fs/files/{path:path}", act),
    Route("POST", "/api/2.0/fs/create-upload-part-urls", create_part_urls),
    Route("POST", "/api/2.0/fs/create-abort-upload-url", create_abort_url),
    Route("PUT", "/local/part/{token}/{number}", take_part, upload=True, public=True),
    Route("DELETE", "/local/part/{token}", abort, public=True),
]
