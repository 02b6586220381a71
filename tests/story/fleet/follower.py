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
"""Follows a fleet in virtual time, in a process of its own: ``python -m tests.story.fleet.follower``.

Standard input says in one line of JSON what there is to follow (:class:`Story`), standard output what was told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.virtual_time import install

__all__ = ["Story"]


@dataclass
class Story:
    """What happens to a fleet.

    :param url: the server.
    :param token: a token of it.
    :param clock: the file of its clock.
    :param watched: for each watcher: ``token``, and the ``runs`` that it follows.
    :param ends: for each run that ends: seconds from the beginning, and its id.
    :param events: what else happens: seconds from the beginning, a method of the server's remote control, and what
        it is called with.
    :param interval: the polling interval, in seconds.
    """

    url: str
    token: str
    clock: str
    watched: list[dict[str, Any]]
    ends: list[tuple[float, int]]
    events: list[tuple[float, str, list[Any], dict[str, Any]]] = field(default_factory=list)
    interval: float = 30.0


class Follower:
    """Follows a story to its end.

    :param story: the story.
    """

    def __init__(self, story: Story) -> None:
        from databricks_air_local.remote import AirControl

        self._story = story
        self._control = AirControl(story.url, story.token)
        self._issued = story.token
        self._told: dict[int, dict[str, Any]] = {}
        self._troubles: dict[int, int] = {}
        self._renewals = 0

    async def follow(self) -> dict[str, Any]:
        """Return what was told of each run, and when."""
        began = time.time()
        happening = asyncio.create_task(self._happen(began))
        await asyncio.gather(*(self._watch(**watched) for watched in self._story.watched), happening)
        return {
            "began": began,
            "told": self._told,
            "troubles": self._troubles,
            "renewals": self._renewals,
        }

    async def _watch(self, token: str, runs: list[int]) -> None:
        from airflow.providers.databricks_air.api.fleet.watcher import Watcher
        from airflow.providers.databricks_air.api.http.client import AsyncClient
        from airflow.providers.databricks_air.api.http.credentials import TokenCredentials

        client = AsyncClient(TokenCredentials(self._story.url, token))

        async def renew() -> None:
            self._renewals += 1
            if token == self._story.token:
                client.credentials = TokenCredentials(self._story.url, self._issued)

        watcher = Watcher(client, renew=renew)
        await asyncio.gather(*(self._follow_one(watcher, run_id) for run_id in runs))
        await watcher.close()

    async def _follow_one(self, watcher: Any, run_id: int) -> None:
        from airflow.providers.databricks_air.api.watch.events import Ended, Said
        from airflow.providers.databricks_air.api.watch.limits import WatchPlan

        async for event in watcher.follow(WatchPlan(run_id, self._story.interval, is_relay=True)):
            if isinstance(event, Said):
                self._troubles[run_id] = self._troubles.get(run_id, 0) + event.is_trouble
            elif isinstance(event, Ended):
                word = event.run.state.word if event.why == "terminal" and event.run else event.why
                self._told[run_id] = {"word": word, "at": time.time()}

    async def _happen(self, began: float) -> None:
        """Do what happens, each at its time; the clock stands meanwhile."""
        steps: list[tuple[float, Callable[[], Any]]] = [
            (at, partial(self._control.release, run_id)) for at, run_id in self._story.ends
        ]
        steps += [
            (at, partial(self._do, name, arguments, options))
            for at, name, arguments, options in self._story.events
        ]
        for at, step in sorted(steps, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, began + at - time.time()))
            step()

    def _do(self, name: str, arguments: list[Any], options: dict[str, Any]) -> None:
        answer = getattr(self._control, name)(*arguments, **options)
        if name == "issue_token":
            self._issued = answer


def main() -> None:
    """Follow what standard input says."""
    story = Story(**json.loads(sys.stdin.readline()))
    logging.disable(logging.CRITICAL)
    loop = install(Path(story.clock))
    told = loop.run_until_complete(Follower(story).follow())
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    # What is left open goes with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
