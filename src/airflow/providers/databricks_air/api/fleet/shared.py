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
"""One watcher per connection and event loop, shared by all who follow a run through it."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

from airflow.providers.databricks_air.api.fleet.tally import Measure
from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ServiceError

__all__ = ["SharedWatcher"]

T = TypeVar("T")
log = logging.getLogger(__name__)

TRANSPORT = "airflow.providers.databricks_air.api.http.transport"
Connect = Callable[[], Awaitable[Credentials]]


class _Place:
    """A watcher, and how many use it."""

    __slots__ = ("opening", "users")

    def __init__(self, opening: asyncio.Task[Watcher]) -> None:
        self.opening = opening
        self.users = 0


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Place]] = WeakKeyDictionary()
# An event loop keeps weak references to its tasks only.
_closing: set[asyncio.Task[None]] = set()


class SharedWatcher:
    """Lends the watcher of a connection: made for the first who comes, closed behind the last who leaves.

    :param key: what names the connection in this process.
    :param connect: reads the connection, also anew after its credentials were refused.
    :param measure: told now and then how the watching goes; None for nobody.
    """

    __slots__ = ("_connect", "_key", "_measure", "_place")

    def __init__(self, key: Hashable, connect: Connect, measure: Measure | None = None) -> None:
        self._key = key
        self._connect = connect
        self._measure = measure
        self._place: _Place | None = None

    async def __aenter__(self) -> Watcher:
        """Return the watcher; whatever ``connect`` raises is raised to all who wait for it."""
        places = _places.setdefault(asyncio.get_running_loop(), {})
        place = places.get(self._key)
        if place is None:
            # The task belongs to no trigger: what it logs is not for the log of the one that came first.
            start = asyncio.get_running_loop().create_task
            opening = contextvars.Context().run(start, _open(self._connect, self._measure))
            place = places[self._key] = _Place(opening)
        place.users += 1
        self._place = place
        try:
            # Whoever is cancelled while waiting must not take the watcher from the others.
            return await asyncio.shield(place.opening)
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._leave()

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is None:
            return
        place.users -= 1
        places = _places.get(asyncio.get_running_loop(), {})
        is_failed = place.opening.done() and (place.opening.cancelled() or place.opening.exception())
        if (not place.users or is_failed) and places.get(self._key) is place:
            del places[self._key]
        if not place.users:
            closing = contextvars.Context().run(asyncio.get_running_loop().create_task, _close(place.opening))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)


async def _open(connect: Connect, measure: Measure | None) -> Watcher:
    # Half a second of reading files, in which no other trigger would get a turn.
    await asyncio.to_thread(importlib.import_module, TRANSPORT)
    client = AsyncClient(await _patiently(connect))
    # Some ways to authenticate learn the address of the workspace only by asking.
    host = await _patiently(lambda: asyncio.to_thread(lambda: client.credentials.host))

    async def renew() -> None:
        client.credentials = await connect()

    return Watcher(client, host=host, renew=renew, measure=measure)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: that Airflow or who gives out tokens is away says nothing about the runs."""
    wait = 1.0
    while True:
        try:
            return await ask()
        except ServiceError as error:
            log.warning("%s; trying again in %.0f s", error, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 30.0)


async def _close(opening: asyncio.Task[Watcher]) -> None:
    if not opening.done():
        opening.cancel()
    try:
        watcher = await opening
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - what was not opened needs no closing
        return
    await watcher.close()
