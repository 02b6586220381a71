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
"""The event trigger tells of every run that ends, once, and of no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.triggers.finished import AirRunFinished
from airflow.providers.databricks_air.version_compat import airflow_instance
from databricks_air_local import LocalAirRuntime

PAUSE = 0.05


class Kept(dict[str, Any]):
    """What Airflow 3.3 keeps for an asset; ``written`` counts how often it was told to."""

    def __init__(self) -> None:
        self.written = asyncio.Semaphore(0)

    async def aget(self, key: str) -> Any:
        """Return what is kept."""
        return self.get(key)

    async def aset(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = value
        self.written.release()


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime and point the default connection at it."""
    with LocalAirRuntime(tmp_path / "air") as runtime:
        monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", runtime.connection_uri)
        yield runtime


def start(name: str, **owner: Any) -> int:
    """Submit a run, as somebody in a shell does, or as a task of an Airflow."""
    config = load_run_config(
        f"experiment_name: {name}\ncompute: {{accelerator_type: GPU_1xA10, num_accelerators: 1}}\n"
        'max_retries: 0\ncommand: "true"\n'
    )
    client = AirRuntimeHook().client
    try:
        return launch(client, config, token=f"{name}-{owner}"[:64], owner=owner or None)
    finally:
        client.close()


async def told(trigger: AirRunFinished, count: int) -> list[dict[str, Any]]:
    """Return the first events of a trigger."""
    found: list[dict[str, Any]] = []
    events: Any = trigger.run()
    while len(found) < count:
        found.append((await asyncio.wait_for(anext(events), 60)).payload)
    await events.aclose()
    return found


async def test_runs_of_others_are_told_of_when_they_succeed(air: LocalAirRuntime) -> None:
    """An event has the result of the run; one that fails, has another name or is a task's of ours has none."""
    air.on("*").hangs(metrics={"loss": 0.5})
    trigger = AirRunFinished("nightly-*", polling_interval=PAUSE)
    waiting = asyncio.create_task(told(trigger, 2))
    names = ("nightly-a", "nightly-b", "weekly", "nightly-c", "nightly-d")
    owners: tuple[dict[str, str], ...] = (
        {},
        {},
        {},
        {"airflow": airflow_instance()},
        {"airflow": "https://another.example.com"},
    )
    runs = [await asyncio.to_thread(start, name, **owner) for name, owner in zip(names, owners, strict=True)]
    await cancel(air, runs[0])
    for run in runs[1:]:
        await asyncio.to_thread(air.release, run)
    events = await waiting
    assert {event["run_id"] for event in events} == {runs[1], runs[4]}
    assert events[0]["state"] == "SUCCESS"
    assert events[0]["mlflow_run_id"]
    assert events[0]["user"]


async def test_nothing_is_told_twice_or_lost_when_the_triggerer_restarts(air: LocalAirRuntime) -> None:
    """What Airflow keeps for the asset says what was told; a run that ended meanwhile is told of."""
    air.on("*").succeeds()
    kept = Kept()
    first = AirRunFinished(polling_interval=PAUSE)
    first.asset_state_store = kept
    # The triggerer goes on behind an event; then it is stopped.
    events = asyncio.create_task(told(first, 2))
    await kept.written.acquire()
    one = await asyncio.to_thread(start, "one")
    await asyncio.wait_for(kept.written.acquire(), 60)
    events.cancel()
    two = await asyncio.to_thread(start, "two")
    second = AirRunFinished(polling_interval=PAUSE)
    second.asset_state_store = kept
    assert [event["run_id"] for event in await told(second, 1)] == [two]
    assert list(*(value["told"] for value in kept.values())) == [str(one)]


async def test_a_workspace_that_is_away_is_asked_again(air: LocalAirRuntime) -> None:
    """Refusals and errors end nothing; the connection is read anew."""
    air.on("*").succeeds()
    air.add_fault("/api/2.2/jobs/runs/list", status=401, times=3)
    trigger = AirRunFinished(polling_interval=PAUSE)
    waiting = asyncio.create_task(told(trigger, 1))
    run = await asyncio.to_thread(start, "late")
    assert [event["run_id"] for event in await waiting] == [run]


def test_triggers_of_one_workspace_share_one_look() -> None:
    """Triggers for different experiments have one stream; another interval or connection has its own."""
    nightly, weekly = AirRunFinished("nightly"), AirRunFinished("weekly", states=["FAILED"])
    assert nightly.shared_stream_key() == weekly.shared_stream_key()
    assert nightly.shared_stream_key() != AirRunFinished(databricks_air_conn_id="b").shared_stream_key()
    path, kwargs = nightly.serialize()
    assert path == f"{AirRunFinished.__module__}.AirRunFinished"
    assert AirRunFinished(**kwargs).serialize() == nightly.serialize()


async def cancel(air: LocalAirRuntime, run_id: int) -> None:
    """End a run, and wait until it has ended."""
    from airflow.providers.databricks_air.api.http.calls import cancel_run

    client = AsyncClient(TokenCredentials(air.url, air.token))
    await client.perform(cancel_run(run_id))
    await client.close()
