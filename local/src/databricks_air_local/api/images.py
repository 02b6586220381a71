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
"""Docker image registrations."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Refusal, missing, refuse

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]

_URL = re.compile(r"[a-z0-9][a-z0-9.:_/-]*(@sha256:[0-9a-f]{64})?", re.IGNORECASE)
_MOST = 1000


def normalise(url: object) -> str:
    """Return the one spelling of an image: host, namespace and tag or digest are never left out.

    :raises Refusal: when it is not an image reference.
    """
    if not isinstance(url, str) or len(url) > 1000 or not _URL.fullmatch(url):
        raise refuse(f"docker_image_url '{str(url)[:200]}' is not an image reference")
    name, _, digest = url.partition("@")
    head, _, rest = name.partition("/")
    if not rest or not ("." in head or ":" in head or head == "localhost"):
        name = f"docker.io/{name if rest else f'library/{name}'}"
    repository, _, tag = name.rpartition("/")
    short, _, version = tag.partition(":")
    return f"{repository}/{short}@{digest}" if digest else f"{repository}/{short}:{version or 'latest'}"


def register(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /api/2.0/ai-compute-manager/images``: available at once."""
    url = normalise(request.json().get("docker_image_url"))
    if len(ws.images) >= _MOST and url not in ws.images:
        raise Refusal(400, "RESOURCE_LIMIT_EXCEEDED", f"At most {_MOST} images can be registered")
    image = {
        "docker_image_url": url,
        "state": "AVAILABLE",
        "status_message": "",
        "manifest_sha256": hashlib.sha256(url.encode()).hexdigest(),
    }
    ws.images[url] = image
    ws.store.put("images", url, image)
    return {"image": image}


def get(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-compute-manager/images:get``."""
    return {"image": _image(ws, request)}


def list_images(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-compute-manager/images``."""
    return {"images": list(ws.images.values())}


def delete(ws: Workspace, request: Request) -> dict[str, Any]:
    """``DELETE /api/2.0/ai-compute-manager/images:delete``."""
    url = _image(ws, request)["docker_image_url"]
    del ws.images[url]
    ws.store.delete("images", url)
    return {}


def check_access(_ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET …/images:checkImageAccess`` and ``:validateImageAccess``: the server never asks a registry."""
    normalise(request.text("docker_image_url"))
    return {"publicly_accessible": True, "accessible": True}


def _image(ws: Workspace, request: Request) -> dict[str, Any]:
    url = normalise(request.text("docker_image_url"))
    if url not in ws.images:
        raise missing(f"Image {url} is not registered.")
    return ws.images[url]


_IMAGES = "/api/2.0/ai-compute-manager/images"
ROUTES = [
    Route("POST", _IMAGES, register),
    Route("GET", _IMAGES, list_images),
    Route("GET", f"{_IMAGES}:get", get),
    Route("GET", f"{_IMAGES}:checkImageAccess", check_access),
    Route("GET", f"{_IMAGES}:validateImageAccess", check_access),
    Route("DELETE", f"{_IMAGES}:delete", delete),
]
