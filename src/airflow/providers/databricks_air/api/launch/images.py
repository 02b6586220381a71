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
"""Makes sure that the Docker image of a run is registered with the workspace, as both older clients do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.api.http.errors import NotFoundError
from airflow.providers.databricks_air.api.images.registration import find_image, register_image
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.api.images.registration import Image
    from airflow.providers.databricks_air.run.config.parts.environment import DockerImage

__all__ = ["require_image"]

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks at an image that is being imported."""
PATIENCE = 3600.0
"""Seconds after which an import is given up."""


async def require_image(
    client: AsyncClient,
    image: DockerImage | None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Look the image up, register it or, with ``tag_policy: latest``, look at its tag anew, and wait for it.

    :param client: the workspace.
    :param image: what the configuration says; None for a run without a Docker image.
    :param sleep: waits that many seconds.
    :raises ConfigError: when the image cannot be imported.
    :raises ApiError: when the workspace refuses it.
    """
    if image is None:
        return
    found = None if image.tag_policy == "latest" else await _registered(client, image.url)
    if found is None or found.state == "FAILED":
        secret = (image.credentials_scope or "", image.credentials_key or "")
        found = await client.perform(register_image(image.url, *secret))
    waited = 0.0
    if not found.is_over:
        log.info("The image %s is being imported", found.url)
    while not found.is_over and waited < PATIENCE:
        await sleep(EVERY)
        waited += EVERY
        found = await client.perform(find_image(found.url))
    if found.state != "AVAILABLE":
        why = f": {found.message}" if found.message else ""
        late = "" if found.is_over else f" after {PATIENCE / 60:.0f} minutes"
        what = f"the image {found.url} is {found.state}{late}{why}"
        raise ConfigError(
            [FieldError("environment.docker_image.url", what, "Check the reference and the credentials")]
        )


async def _registered(client: AsyncClient, url: str) -> Image | None:
    try:
        return await client.perform(find_image(url))
    except NotFoundError:
        return None
