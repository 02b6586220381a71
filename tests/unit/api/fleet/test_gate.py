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
"""What a gate lets through, and how a connection slows down and recovers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow.providers.databricks_air.api.fleet.gate import Gate
from airflow.providers.databricks_air.api.http.calls import get_run, me
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import ApiError
from databricks_air_local import LocalAirRuntime


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a server."""
    with LocalAirRuntime(tmp_path) as runtime:
        yield runtime


async def ask(gate: Gate, client: AsyncClient, count: int) -> int:
    """Ask so often at once, and return how often there was a good answer."""
    calls = [gate.perform(client, me().once()) for _ in range(count)]
    return sum(not isinstance(one, ApiError) for one in await asyncio.gather(*calls, return_exceptions=True))


async def test_no_more_than_so_many_are_under_way(air: LocalAirRuntime) -> None:
    """Of twelve requests that take a while each, three are with the server at a time."""
    await asyncio.to_thread(lambda: air.add_fault("*/Me", times=-1, then="answer", delay=0.2))
    client, gate = AsyncClient(TokenCredentials(air.url, air.token)), Gate(3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await ask(gate, client, 12) == 12
    assert loop.time() - began >= 0.8
    await client.close()


async def test_a_429_closes_the_gate_for_as_long_as_the_service_asks(air: LocalAirRuntime) -> None:
    """After Retry-After of a second nothing is sent for a second, by nobody; then all goes on."""
    await asyncio.to_thread(lambda: air.add_fault("*/Me", times=1, status=429, headers={"Retry-After": "1"}))
    client, gate = AsyncClient(TokenCredentials(air.url, air.token)), Gate()
    loop = asyncio.get_running_loop()
    assert await ask(gate, client, 1) == 0
    assert gate.is_troubled
    began = loop.time()
    assert await ask(gate, client, 5) == 5
    assert loop.time() - began >= 0.9
    assert not gate.is_troubled
    assert (gate.requests, gate.throttled) == (6, 1)
    await client.close()


async def test_an_answer_about_one_run_slows_nobody(air: LocalAirRuntime) -> None:
    """That a run does not exist says nothing about the workspace."""
    client, gate = AsyncClient(TokenCredentials(air.url, air.token)), Gate()
    with pytest.raises(ApiError):
        await gate.perform(client, get_run(424242).once())
    assert gate.throttled == 0
    await client.close()


async def test_who_is_cancelled_in_the_queue_takes_no_place(air: LocalAirRuntime) -> None:
    """Places of those that were cancelled are there for the others."""
    client, gate = AsyncClient(TokenCredentials(air.url, air.token)), Gate(1)
    tasks = [asyncio.create_task(ask(gate, client, 1)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks[1:4]:
        task.cancel()
    assert await asyncio.wait_for(tasks[4], 10) == 1
    assert await asyncio.wait_for(ask(gate, client, 2), 10) == 2
    await client.close()
