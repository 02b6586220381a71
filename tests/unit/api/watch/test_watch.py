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
"""A watch follows a run to its end, whatever happens on the way to the workspace."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.calls import cancel_run
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials, TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.watch import limits
from airflow.providers.databricks_air.api.watch.watch import Ended, Event, Said, WatchPlan, watch
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

GET = "/api/2.2/jobs/runs/get"
CONFIG = (
    "experiment_name: watched\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "max_retries: 1\ncommand: echo\n"
)
Follow = Callable[..., list[Event]]


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a server."""
    with LocalAirRuntime(tmp_path) as runtime:
        yield runtime


@pytest.fixture(params=["sync", "async"])
def follow(request: pytest.FixtureRequest, air: LocalAirRuntime) -> Follow:
    """Return a function that watches a run to its end with each driver in turn, and returns what it told."""
    credentials = TokenCredentials(air.url, air.token)

    def follow_sync(plan: WatchPlan, renew: Callable[[], Credentials] | None = None) -> list[Event]:
        return list(watch(SyncClient(credentials), plan, renew=renew))

    async def follow_async(plan: WatchPlan, renew: Callable[[], Credentials] | None) -> list[Event]:
        async def arenew() -> None:
            assert renew is not None
            client.credentials = renew()

        client = AsyncClient(credentials)
        watcher = Watcher(client, renew=arenew if renew else None)
        try:
            return [event async for event in watcher.follow(plan)]
        finally:
            await client.close()

    if request.param == "sync":
        return follow_sync
    return lambda plan, renew=None: asyncio.run(follow_async(plan, renew))


def submit(air: LocalAirRuntime) -> WatchPlan:
    """Submit a run and return the plan that watches it closely."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    run_id = launch(client, load_run_config(CONFIG), token=f"t{time.time_ns()}")
    return WatchPlan(run_id, polling_interval=0.05)


def texts(events: list[Event]) -> list[str]:
    """Return what was said."""
    return [event.text for event in events if isinstance(event, Said)]


def end(events: list[Event]) -> Ended:
    """Return the ending, which comes once and last."""
    assert [isinstance(event, Ended) for event in events].count(True) == 1
    assert isinstance(events[-1], Ended)
    return events[-1]


def test_changes_are_told_and_polls_are_not(air: LocalAirRuntime, follow: Follow) -> None:
    """However often it looks, a watch says one line per change, and the server's waiting message once."""
    air.on().waits(0.4, status="STATUS:Waiting for GPU compute capacity to become available.").succeeds(
        after=0.4
    )
    events = follow(submit(air))
    said = texts(events)
    assert end(events).why == "terminal"
    assert [text.partition(": ")[2].split(" after")[0] for text in said] == [
        "PENDING",
        "Waiting for accelerator capacity to become available...",
        "PENDING → RUNNING",
        "RUNNING → SUCCESS",
    ]
    assert len(air.requests(path=GET)) > len(said)


def test_attempts_are_counted_in_words(air: LocalAirRuntime, follow: Follow) -> None:
    """The second attempt is announced once."""
    air.on().fails().succeeds(after=0.3)
    events = follow(submit(air))
    assert sum("attempt 2 of 2 after attempt 1 ended as FAILED" in text for text in texts(events)) == 1
    ended = end(events)
    assert ended.run is not None
    assert ended.run.is_success


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429},
        {"then": "reset"},
        {"then": "garbage"},
        {"then": "cut"},
        {"status": 403},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_trouble_is_no_outcome(air: LocalAirRuntime, follow: Follow, fault: dict[str, object]) -> None:
    """Any number of spoiled answers delays the end and is said once, with the recovery."""
    air.on().succeeds(after=0.5)
    plan = submit(air)
    air.add_fault(GET, times=5, **fault)
    events = follow(plan)
    assert end(events).why == "terminal"
    assert sum("cannot be seen at the moment" in text for text in texts(events)) == 1
    assert sum("can be seen again" in text for text in texts(events)) == 1


def test_a_server_that_is_away_is_waited_for(tmp_path: Path, air: LocalAirRuntime, follow: Follow) -> None:
    """A server that stops and comes back on the same port with its state is the same server."""
    air.on().succeeds(after=1.0)
    plan = submit(air)
    port = int(air.url.rpartition(":")[2])
    air.stop()
    revived: list[LocalAirRuntime] = []

    def revive() -> None:
        runtime = LocalAirRuntime(tmp_path, port=port)
        runtime.start()
        revived.append(runtime)

    timer = threading.Timer(1.0, revive)
    timer.start()
    try:
        events = follow(replace(plan, patience_denied=60))
    finally:
        timer.join()
        for runtime in revived:
            runtime.stop()
    assert end(events).why == "terminal"
    assert any("cannot be seen at the moment" in text for text in texts(events))


def test_an_unknown_state_is_shown_and_waited_through(air: LocalAirRuntime, follow: Follow) -> None:
    """A state of tomorrow is no error."""
    air.on().waits(0.3, state="DEFROSTING").succeeds(after=0.2)
    events = follow(submit(air))
    assert end(events).why == "terminal"
    assert any("DEFROSTING" in text for text in texts(events))


def test_a_token_that_expires_is_renewed(air: LocalAirRuntime, follow: Follow) -> None:
    """After a refusal the credentials are read anew, and the wait goes on."""
    air.on().succeeds(after=0.6)
    plan = submit(air)
    air.expire_tokens()
    fresh = air.issue_token(3600)
    events = follow(plan, lambda: TokenCredentials(air.url, fresh))
    assert end(events).why == "terminal"


def test_a_refusal_is_believed_when_it_lasts(air: LocalAirRuntime, follow: Follow) -> None:
    """Access that stays refused ends the watch, with what the server said."""
    air.on().hangs()
    plan = submit(air)
    air.add_fault(GET, times=-1, status=403, error_code="PERMISSION_DENIED", message="not yours")
    ended = end(follow(replace(plan, patience_denied=0.4)))
    assert (ended.why, "not yours" in ended.message) == ("denied", True)


def test_a_missing_run_is_believed_when_it_lasts(air: LocalAirRuntime, follow: Follow) -> None:
    """A run that the service keeps not knowing ends the watch."""
    ended = end(follow(WatchPlan(424242, 0.05, patience_missing=0.4)))
    assert (ended.why, ended.run) == ("missing", None)


def test_a_deadline_ends_the_watch_even_without_a_server(air: LocalAirRuntime, follow: Follow) -> None:
    """The deadline holds while nothing answers."""
    air.on().hangs()
    plan = submit(air)
    air.add_fault(GET, times=-1, then="reset")
    assert end(follow(replace(plan, deadline=time.time() + 0.5))).why == "expired"


def test_the_wait_for_accelerators_has_a_limit_of_its_own(air: LocalAirRuntime, follow: Follow) -> None:
    """A run that waits too long is told apart from one that runs long."""
    air.on().waits(1000).succeeds()
    ended = end(follow(replace(submit(air), queue_timeout=0.6)))
    assert ended.why == "queue_expired"
    air.forget_behaviours()
    air.on().succeeds(after=1.0)
    assert end(follow(replace(submit(air), queue_timeout=0.6))).why == "terminal"


ACCESS = [{"group_name": "ml", "permission_level": "CAN_READ"}]
EXPERIMENTS = "/api/2.0/permissions/experiments/*"


def test_access_to_the_experiment_is_granted_when_it_appears(air: LocalAirRuntime, follow: Follow) -> None:
    """An experiment that is there only after a wait for accelerators is opened once, to whom the plan names."""
    air.on().waits(0.4).succeeds(after=0.4)
    events = follow(replace(submit(air), experiment_access=ACCESS))
    (request,) = air.requests(path=EXPERIMENTS)
    assert request.json() == {"access_control_list": ACCESS}
    assert [event for event in events if isinstance(event, Said) and event.is_trouble] == []


def test_access_that_is_refused_is_one_warning(air: LocalAirRuntime, follow: Follow) -> None:
    """A refused grant is asked for once and told once; the run is followed to its end."""
    air.on().succeeds(after=0.4)
    air.add_fault(EXPERIMENTS, times=-1, status=403, error_code="PERMISSION_DENIED", message="not yours")
    events = follow(replace(submit(air), experiment_access=ACCESS))
    (warning,) = [event.text for event in events if isinstance(event, Said) and event.is_trouble]
    assert "could not be granted" in warning
    assert "not yours" in warning
    assert len(air.requests(path=EXPERIMENTS)) == 1
    assert end(events).why == "terminal"


def test_access_is_granted_after_trouble(air: LocalAirRuntime, follow: Follow) -> None:
    """A grant that meets a spoiled answer is tried again at the next look, without a word."""
    air.on().succeeds(after=0.6)
    air.add_fault(EXPERIMENTS, times=2, status=503)
    events = follow(replace(submit(air), experiment_access=ACCESS))
    assert [request.status for request in air.requests(path=EXPERIMENTS)] == [503, 503, 200]
    assert [event for event in events if isinstance(event, Said) and event.is_trouble] == []


def test_run_without_an_experiment_is_one_warning(air: LocalAirRuntime, follow: Follow) -> None:
    """A run that ends before it has an experiment leaves one warning behind."""
    air.on().waits(1000).succeeds()
    plan = submit(air)
    SyncClient(TokenCredentials(air.url, air.token)).perform(cancel_run(plan.run_id))
    events = follow(replace(plan, experiment_access=ACCESS))
    (warning,) = [event.text for event in events if isinstance(event, Said) and event.is_trouble]
    assert "the run ended without one" in warning
    assert air.requests(path=EXPERIMENTS) == []


def test_the_watch_only_reads(air: LocalAirRuntime, follow: Follow) -> None:
    """Nothing that a watch sends changes anything, unless it shall grant access."""
    air.on().succeeds(after=0.2)
    plan = submit(air)
    air.clear_requests()
    follow(plan)
    assert {request.method for request in air.requests(path="/api/*")} == {"GET"}


def test_a_rotated_connection_is_read_in_time(
    air: LocalAirRuntime, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old token still works, and the new one is used all the same: the connection is read again now and then."""
    monkeypatch.setattr(limits, "RENEW_AFTER", 0.5)
    read: list[str] = []

    def renew() -> Credentials:
        read.append(air.issue_token(3600))
        return TokenCredentials(air.url, read[-1])

    air.on().succeeds(after=4)
    assert end(follow(submit(air), renew)).why == "terminal"
    assert len(read) >= 2
