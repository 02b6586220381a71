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
"""What many runs that say nothing cost."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.logs.stream import LogStream
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

pytestmark = pytest.mark.plain

RUNS = 500
INTERVAL = 10.0
SETTLED = 30.0  # seconds until nothing of the start is left
OBSERVED = 60.0
CONFIG = load_run_config(
    "experiment_name: quiet\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "command: echo\nmax_retries: 0\n"
)


@pytest.mark.long
def test_five_hundred_quiet_runs_cost_one_more_request_each_in_an_interval(air: LocalAirRuntime) -> None:
    """500 runs in one event loop: their logs are asked for at most once in a polling interval each."""
    air.on("quiet").hangs(logs=["hello"])
    credentials = TokenCredentials(air.url, air.token)
    client = SyncClient(credentials)
    launch(client, CONFIG, token=uuid4().hex)
    body = air.runs()[0]["body"]
    again = [submit_run({**body, "idempotency_token": uuid4().hex}) for _ in range(RUNS)]
    runs = [client.perform(call).run_id for call in again]
    counts: list[dict[str, int]] = []

    async def follow(run_id: int) -> None:
        mine = AsyncClient(credentials)
        try:
            plan = WatchPlan(run_id, INTERVAL, deadline=time.time() + SETTLED + OBSERVED + 60)
            async for _ in Watcher(mine).follow(plan, stream=LogStream(run_id)):
                pass
        finally:
            await mine.close()

    async def count() -> None:
        watches = [asyncio.create_task(follow(run_id)) for run_id in runs]
        await asyncio.sleep(SETTLED)
        for _ in range(int(OBSERVED / INTERVAL)):
            await asyncio.to_thread(air.clear_requests)
            await asyncio.sleep(INTERVAL)
            asked = await asyncio.to_thread(air.requests)
            logs = sum(request.path.endswith("/logs") for request in asked)
            counts.append({"logs": logs, "all": len(asked)})
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    asyncio.run(count())

    assert all(one["all"] >= RUNS * 0.8 for one in counts), counts
    assert sum(one["logs"] for one in counts) <= RUNS * len(counts), counts
    assert sum(one["all"] for one in counts) <= 2 * RUNS * len(counts) * 1.05, counts
