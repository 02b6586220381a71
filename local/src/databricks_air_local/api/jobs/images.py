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
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import Refusal, missing
from databricks_air_local.state.inventory import normalise

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.store import Store

__all__ = ["Images"]

_MOST = 1000

_IMAGES = "/api/2.0/ai-compute-manager/images"


class Images:
    """Docker image registrations."""

    def __init__(self, store: Store, inventory: Inventory) -> None:
        self._store = store
        self._inventory = inventory
        self._images: dict[str, dict[str, Any]] = dict(store.all("images"))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", _IMAGES, self.register),
            route("GET", _IMAGES, self.list_images),
            route("GET", f"{_IMAGES}:get", self.get),
            route("GET", f"{_IMAGES}:checkImageAccess", self.check_access),
            route("GET", f"{_IMAGES}:validateImageAccess", self.check_access),
            route("DELETE", f"{_IMAGES}:delete", self.delete),
        ]

    def register(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/ai-compute-manager/images``: available at once, or failed where there is none."""
        url = normalise(request.json().get("docker_image_url"))
        if len(self._images) >= _MOST and url not in self._images:
            raise Refusal(400, "RESOURCE_LIMIT_EXCEEDED", f"At most {_MOST} images can be registered")
        there = self._inventory.has_image(url)
        image = {
            "docker_image_url": url,
            "state": "AVAILABLE" if there else "FAILED",
            "status_message": "" if there else f"Image {url} does not exist, or may not be read (--image).",
            "manifest_sha256": hashlib.sha256(url.encode()).hexdigest(),
        }
        self._images[url] = image
        self._store.put("images", url, image)
        return {"image": image}

    def get(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-compute-manager/images:get``: the registration itself, as both clients read it."""
        return self._image(request)

    def list_images(self, _request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-compute-manager/images``."""
        return {"images": list(self._images.values())}

    def delete(self, request: Request) -> dict[str, Any]:
        """``DELETE /api/2.0/ai-compute-manager/images:delete``."""
        url = self._image(request)["docker_image_url"]
        del self._images[url]
        self._store.delete("images", url)
        return {}

    def check_access(self, request: Request) -> dict[str, Any]:
        """``GET …/images:checkImageAccess`` and ``:validateImageAccess``: the server never asks a registry."""
        there = self._inventory.has_image(normalise(request.text("docker_image_url")))
        return {"publicly_accessible": there, "accessible": there}

    def _image(self, request: Request) -> dict[str, Any]:
        url = normalise(request.text("docker_image_url"))
        if url not in self._images:
            raise missing(f"Image {url} is not registered.")
        return self._images[url]
