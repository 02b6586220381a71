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
"""Fleets of runs, and what becomes of those who follow them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.watch.events import Ended, Event
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

CONFIG = load_run_config(
    "experiment_name: fleet\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "command: echo\nmax_retries: 0\n"
)


@dataclass
class Fleet:
    """Runs on a server, and the watchers that follow them.

    :param air: the server.
    """

    air: LocalAirRuntime
    endings: dict[int, Ended] = field(default_factory=dict)
    seen_at: dict[int, float] = field(default_factory=dict)
    events: dict[int, list[Event]] = field(default_factory=dict)

    def submit(self, count: int) -> list[int]:
        """Submit runs that behave as the server was told, and return their ids."""
        client = SyncClient(TokenCredentials(self.air.url, self.air.token))
        first = launch(client, CONFIG, token=uuid4().hex)
        body = next(run["body"] for run in self.air.runs() if run["run_id"] == first)
        again = [submit_run({**body, "idempotency_token": uuid4().hex}) for _ in range(count - 1)]
        runs = [first, *(client.perform(call).run_id for call in again)]
        client.close()
        return runs

    @asynccontextmanager
    async def watcher(self, token: str = "", **options: Any) -> AsyncIterator[Watcher]:
        """Open a watcher of its own."""
        client = AsyncClient(TokenCredentials(self.air.url, token or self.air.token))
        watcher = Watcher(client, **options)
        try:
            yield watcher
        finally:
            await watcher.close()

    async def follow(self, watcher: Watcher, runs: list[int], **plan: Any) -> None:
        """Follow runs to their ends, and keep what was told."""
        await asyncio.gather(*(self._follow_one(watcher, WatchPlan(run_id, **plan)) for run_id in runs))

    async def _follow_one(self, watcher: Watcher, plan: WatchPlan) -> None:
        told = self.events.setdefault(plan.run_id, [])
        async for event in watcher.follow(plan):
            told.append(event)
            if isinstance(event, Ended):
                self.endings[plan.run_id] = event
                self.seen_at[plan.run_id] = time.time()

    def lateness(self) -> list[float]:
        """Return how many seconds after its end each run's end was told, least first."""
        ended = {run["run_id"]: run["end_time"] / 1000 for run in self.air.runs()}
        return sorted(at - ended[run_id] for run_id, at in self.seen_at.items())

    def results(self) -> dict[str, int]:
        """Return how many runs were told to have ended how."""
        found: dict[str, int] = {}
        for ended in self.endings.values():
            word = ended.run.state.word if ended.why == "terminal" and ended.run else ended.why
            found[word] = found.get(word, 0) + 1
        return found

    def asked(self) -> dict[str, int]:
        """Return how many requests of each kind the server got since they were forgotten last."""
        found: dict[str, int] = {}
        for request in self.air.requests(path="/api/*"):
            kind = request.path.rpartition("/")[2]
            found[kind] = found.get(kind, 0) + 1
        return found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Start a server for a fleet."""
    with LocalAirRuntime(tmp_path) as air:
        yield Fleet(air)
