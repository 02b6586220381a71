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
"""Fresh credentials, once for all who were refused."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.watch import limits

__all__ = ["Renewal", "start_apart"]

log = logging.getLogger(__name__)

GAP = 5.0
"""Seconds between two renewals: what was refused a moment ago is refused again."""


class Renewal:
    """Gets fresh credentials for a client.

    :param client: has the credentials.
    :param renew: sets fresh ones; None where there are none to be had.
    """

    def __init__(self, client: AsyncClient, renew: Callable[[], Awaitable[None]] | None) -> None:
        self._client = client
        self._renew = renew
        self._under_way: asyncio.Task[None] | None = None
        self._renewed_at = time.monotonic() - GAP

    async def replace(self, refused: object) -> None:
        """Wait until the client has other credentials, or there are none.

        :param refused: those that were refused.
        """
        if self._renew is None or self._client.credentials is not refused:
            return
        if self._under_way is None and time.monotonic() - self._renewed_at >= GAP:
            self._under_way = start_apart(self._read(self._renew))
        if self._under_way is not None:
            # Whoever is cancelled while waiting must not take the renewal from the others.
            await asyncio.shield(self._under_way)

    def keep_fresh(self) -> None:
        """Read the connection again if that was minutes ago; nobody waits for it."""
        is_old = time.monotonic() - self._renewed_at >= limits.RENEW_AFTER
        if is_old and self._renew is not None and self._under_way is None:
            self._under_way = start_apart(self._read(self._renew))

    def stop(self) -> None:
        """Wait no longer for what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()

    async def _read(self, renew: Callable[[], Awaitable[None]]) -> None:
        try:
            await renew()
        except Exception as error:  # noqa: BLE001 - whatever it is, it says nothing about the runs
            log.warning("The credentials could not be read anew: %s", error)
        finally:
            self._renewed_at = time.monotonic()
            self._under_way = None


def start_apart(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that belongs to no trigger: what it logs is not for the log of the task that came first.

    :param work: what to run.
    """
    return contextvars.Context().run(asyncio.get_running_loop().create_task, work)
