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
"""One watcher follows a fleet: few requests, and no fault of a list or the network makes it wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from airflow.providers.databricks_air.api.fleet.shared import SharedWatcher
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.watch.events import Said
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from tests.unit.api.fleet.conftest import Fleet

INDEX = "/api/2.0/ai-training/workflows"
LISTING = "/api/2.2/jobs/runs/list"
GET = "/api/2.2/jobs/runs/get"


def test_a_fleet_needs_few_requests(fleet: Fleet) -> None:
    """150 runs of 6 s, whose changes may stay unnoticed for 2 s, take about one request each, and some lists."""
    fleet.air.on().succeeds(after=6.0)
    runs = fleet.submit(150)
    fleet.air.clear_requests()

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            await fleet.follow(watcher, runs, polling_interval=2.0, is_relay=True)

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 150}
    asked = fleet.asked()
    assert asked["get"] <= 160, asked
    assert sum(asked.values()) <= 180, asked
    assert fleet.lateness()[-1] <= 4.0


def test_few_runs_are_asked_one_by_one(fleet: Fleet) -> None:
    """For three runs no list is read."""
    fleet.air.on().succeeds(after=1.0)
    runs = fleet.submit(3)

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            await fleet.follow(watcher, runs)

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 3}
    assert fleet.air.requests(path=INDEX) == fleet.air.requests(path=LISTING) == []


@pytest.mark.parametrize("gone", [[INDEX], [INDEX, LISTING]], ids=["index", "both"])
def test_a_list_that_is_switched_off_is_done_without(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, gone: list[str]
) -> None:
    """A list that disappears in the middle is replaced by the next best way, and the reason is said once."""
    fleet.air.on().succeeds(after=5.0)
    runs = fleet.submit(40)

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            following = asyncio.create_task(fleet.follow(watcher, runs, polling_interval=1.0))
            await asyncio.sleep(2.0)
            for path in gone:
                fault = partial(fleet.air.add_fault, path, times=-1, status=404)
                await asyncio.to_thread(fault, error_code="FEATURE_DISABLED")
            await following

    with caplog.at_level(logging.WARNING):
        asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 40}
    assert fleet.lateness()[-1] <= 4.0
    said = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert len(said) == len(gone), said


def test_a_run_that_a_list_leaves_out_is_followed_all_the_same(fleet: Fleet) -> None:
    """That a run is not in the list is a reason to ask for it, and never its end."""
    fleet.air.on().succeeds(after=4.0)
    runs = fleet.submit(30)
    rows = [{"job_run_id": run_id} for run_id in runs[10:]]
    fleet.air.add_fault(INDEX, times=-1, status=200, body=json.dumps({"training_workflows": rows}))

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            await fleet.follow(watcher, runs[:10], polling_interval=1.0)

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 10}
    assert fleet.lateness()[0] >= 0
    assert fleet.lateness()[-1] <= 3.0


def test_a_run_that_a_list_keeps_is_found_to_have_ended(fleet: Fleet) -> None:
    """A run that a list calls alive for ever is asked for itself before the time between two such answers is up."""
    fleet.air.on().succeeds(after=2.0)
    runs = fleet.submit(30)
    rows = [{"job_run_id": str(run_id), "submit_time": "2026-01-01T00:00:00Z"} for run_id in runs]
    fleet.air.add_fault(INDEX, times=-1, status=200, body=json.dumps({"training_workflows": rows}))

    async def follow() -> None:
        async with fleet.watcher(confirm=6.0) as watcher:
            await fleet.follow(watcher, runs, polling_interval=1.0)

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 30}
    assert fleet.lateness()[-1] <= 8.0


def test_a_storm_of_429_slows_the_connection_and_loses_nothing(fleet: Fleet) -> None:
    """While the service says 429, a handful of requests is sent; afterwards all goes on."""
    fleet.air.on().succeeds(after=2.0)
    runs = fleet.submit(100)

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            following = asyncio.create_task(fleet.follow(watcher, runs, polling_interval=1.0))
            await asyncio.sleep(0.8)
            storm = {"times": -1, "status": 429, "headers": {"Retry-After": "1"}}
            await asyncio.to_thread(lambda: fleet.air.add_fault("/api/*", **storm))
            await asyncio.to_thread(fleet.air.clear_requests)
            await asyncio.sleep(6.0)
            refused.append(len(await asyncio.to_thread(fleet.air.requests, path="/api/*")))
            await asyncio.to_thread(fleet.air.clear_faults)
            await following

    refused: list[int] = []
    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 100}
    assert refused[0] <= 40, refused
    # It ended in the storm: 6 s, the longest pause that has grown until then, and the interval.
    assert fleet.lateness()[-1] <= 16.0


def test_an_outage_is_no_outcome_for_anybody(fleet: Fleet) -> None:
    """While nothing answers, one request now and then is sent; afterwards every run's own end is told."""
    fleet.air.on().succeeds(after=3.0)
    runs = fleet.submit(100)

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            following = asyncio.create_task(fleet.follow(watcher, runs, polling_interval=1.0))
            await asyncio.sleep(1.0)
            await asyncio.to_thread(lambda: fleet.air.add_fault("/api/*", times=-1, then="reset"))
            await asyncio.to_thread(fleet.air.clear_requests)
            await asyncio.sleep(6.0)
            sent.append(len(await asyncio.to_thread(fleet.air.requests, path="/api/*")))
            await asyncio.to_thread(fleet.air.clear_faults)
            await following

    sent: list[int] = []
    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 100}
    assert sent[0] <= 40, sent
    assert fleet.lateness()[-1] <= 16.0
    told = [event for events in fleet.events.values() for event in events if isinstance(event, Said)]
    assert sum(event.is_trouble for event in told) <= 40


def test_a_token_that_changes_is_read_anew_once_for_all(fleet: Fleet) -> None:
    """When the token is replaced, the connection is read again, and no task hears of it."""
    fleet.air.on().succeeds(after=4.0)
    runs = fleet.submit(60)
    renewals: list[float] = []

    async def follow() -> None:
        async def renew() -> None:
            renewals.append(time.time())
            watcher.client.credentials = TokenCredentials(fleet.air.url, fresh[0])

        async with fleet.watcher(renew=renew) as watcher:
            following = asyncio.create_task(fleet.follow(watcher, runs, polling_interval=1.0))
            await asyncio.sleep(1.5)
            await asyncio.to_thread(fleet.air.expire_tokens)
            fresh.append(await asyncio.to_thread(fleet.air.issue_token, 3600))
            await following

    fresh: list[str] = []
    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 60}
    assert len(renewals) <= 2
    said = [event for told in fleet.events.values() for event in told if isinstance(event, Said)]
    assert not [event for event in said if event.is_trouble]


def test_a_wrong_token_hurts_nobody_else(fleet: Fleet) -> None:
    """Runs behind a wrong token are given up in time; those of a good connection beside it end as they should."""
    fleet.air.on().succeeds(after=4.0)
    runs = fleet.submit(40)

    async def follow() -> None:
        async with fleet.watcher() as good, fleet.watcher(token="wrong") as bad:
            await asyncio.gather(
                fleet.follow(good, runs[:20], polling_interval=1.0),
                fleet.follow(bad, runs[20:], polling_interval=1.0, patience_denied=3.0),
            )

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 20, "denied": 20}


def test_nobody_loses_a_run_to_a_fault_of_the_watcher(fleet: Fleet) -> None:
    """The watcher's own task may be killed: it begins anew with all its runs."""
    fleet.air.on().succeeds(after=2.0)
    runs = fleet.submit(10)

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            following = asyncio.create_task(fleet.follow(watcher, runs, polling_interval=1.0))
            await asyncio.sleep(0.5)
            own = [task for task in asyncio.all_tasks() if "Watcher._work" in repr(task)]
            assert [task.cancel() for task in own] == [True]
            await following

    asyncio.run(follow())
    assert fleet.results() == {"SUCCESS": 10}


def test_a_follower_that_is_cancelled_takes_nothing_from_the_others(fleet: Fleet) -> None:
    """One of two followers of the shared watcher goes; the other one's run ends; then nothing is left."""
    fleet.air.on().succeeds(after=2.0)
    runs = fleet.submit(2)
    opened: list[float] = []

    async def connect() -> TokenCredentials:
        opened.append(time.time())
        return TokenCredentials(fleet.air.url, fleet.air.token)

    async def follow_shared(run_id: int) -> None:
        async with SharedWatcher("conn", connect) as watcher:
            await fleet.follow(watcher, [run_id])

    async def follow() -> None:
        going = asyncio.create_task(follow_shared(runs[0]))
        staying = asyncio.create_task(follow_shared(runs[1]))
        await asyncio.sleep(0.5)
        going.cancel()
        await staying
        await asyncio.sleep(0.2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(follow())
    assert len(opened) == 1
    assert fleet.results() == {"SUCCESS": 1}


@pytest.mark.long
def test_twenty_thousand_come_and_go_and_leave_nothing(fleet: Fleet) -> None:
    """20,000 registrations in one process: no growth in tasks, sockets or memory."""
    fleet.air.on().hangs()
    runs = fleet.submit(100)

    async def connect() -> TokenCredentials:
        return TokenCredentials(fleet.air.url, fleet.air.token)

    async def one(run_id: int) -> None:
        async with SharedWatcher("conn", connect) as watcher:
            async for _ in watcher.follow(WatchPlan(run_id)):
                pass

    async def crowd(size: int) -> None:
        tasks = [asyncio.create_task(one(runs[number % len(runs)])) for number in range(size)]
        await asyncio.sleep(0.4)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def come_and_go() -> tuple[int, int]:
        await crowd(1000)
        await crowd(1000)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(18):
            await crowd(1000)
        await asyncio.sleep(0.5)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return len(asyncio.all_tasks()), grown

    sockets = _sockets()
    tasks, grown = asyncio.run(come_and_go())
    assert tasks == 1
    assert grown <= 300_000, grown
    assert _sockets() <= sockets + 1


def _sockets() -> int:
    return sum(
        "socket" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
    )


def test_a_server_is_only_read(fleet: Fleet) -> None:
    """Following a fleet changes nothing on the server."""
    fleet.air.on().succeeds(after=1.0)
    runs = fleet.submit(10)
    fleet.air.clear_requests()

    async def follow() -> None:
        async with fleet.watcher() as watcher:
            await fleet.follow(watcher, runs)

    asyncio.run(follow())
    assert {request.method for request in fleet.air.requests(path="/api/*")} == {"GET"}


class Numbers:
    """Keeps what a watcher measures."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def gauge(self, name: str, value: float) -> None:
        """Keep a number."""
        self.gauges[name] = value

    def count(self, name: str, value: int) -> None:
        """Add to a number."""
        self.counts[name] = self.counts.get(name, 0) + value


def test_a_watcher_measures_itself(fleet: Fleet) -> None:
    """Runs, requests, slow-downs and lateness have a number each."""
    fleet.air.on().succeeds(after=1.0)
    runs = fleet.submit(5)
    numbers = Numbers()

    async def follow() -> None:
        async with fleet.watcher(measure=numbers) as watcher:
            await fleet.follow(watcher, runs)

    asyncio.run(follow())
    assert numbers.gauges["databricks_air.watcher.runs"] >= 1
    assert numbers.gauges["databricks_air.watcher.lag"] >= 0
    assert set(numbers.counts) == {"databricks_air.watcher.requests", "databricks_air.watcher.throttled"}
