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
"""Registers a Docker image with the workspace, and waits until runs can use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import NotFoundError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient

__all__ = ["Image", "find_image", "register_image", "registration"]

_PATH = "/api/2.0/ai-compute-manager/images"


@dataclass(frozen=True)
class Image:
    """A registered image.

    :param url: its full reference.
    :param state: ``PENDING``, ``IMPORTING``, ``AVAILABLE`` or ``FAILED``.
    :param message: what the service says of the state.
    :param digest: SHA-256 of its manifest; empty until it is known.
    """

    url: str
    state: str
    message: str = ""
    digest: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the state stays."""
        return self.state in {"AVAILABLE", "FAILED"}

    def to_json(self) -> dict[str, Any]:
        """Return the image as plain JSON values, named as the service names them."""
        return {
            "docker_image_url": self.url,
            "state": self.state,
            "status_message": self.message or None,
            "manifest_sha256": self.digest or None,
        }


def register_image(url: str, scope: str = "", key: str = "") -> Call[Image]:
    """``POST /api/2.0/ai-compute-manager/images``: register an image; one that is registered is looked at anew.

    :param url: reference of the image.
    :param scope: scope of the secret with the registry's credentials; empty for a public image.
    :param key: key of that secret.
    """
    secret = {"credentials_scope": scope, "credentials_key": key} if scope else {}
    return Call("POST", _PATH, _read, body={"docker_image_url": url, **secret})


def find_image(url: str) -> Call[Image]:
    """``GET /api/2.0/ai-compute-manager/images:get``: the registration of an image."""
    return Call("GET", f"{_PATH}:get", _read, query={"docker_image_url": url})


def registration(
    client: SyncClient,
    url: str,
    secret: tuple[str, str] = ("", ""),
    *,
    is_anew: bool = False,
    every: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Image]:
    """Register an image and yield each state of it until it stays; the caller decides how long that may take.

    :param client: the workspace.
    :param url: reference of the image.
    :param secret: scope and key of the registry's credentials; empty for a public image.
    :param is_anew: whether an image that is available already is registered again.
    :param every: seconds between two looks.
    :param sleep: waits that many seconds.
    """
    image = None if is_anew else _registered(client, url)
    if image is None or image.state == "FAILED":
        image = client.perform(register_image(url, *secret))
    yield image
    while not image.is_over:
        sleep(every)
        image = client.perform(find_image(image.url or url))
        yield image


def _registered(client: SyncClient, url: str) -> Image | None:
    try:
        return client.perform(find_image(url))
    except NotFoundError:
        return None


def _read(answer: Answer) -> Image:
    body = answer.json()
    image = body.get("image") or body
    return Image(
        url=str(image["docker_image_url"]),
        state=str(image.get("state") or "PENDING"),
        message=str(image.get("status_message") or ""),
        digest=str(image.get("manifest_sha256") or ""),
    )
