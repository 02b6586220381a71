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
"""The client of code without an event loop: halted, interrupted by signals, and ended."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import HaltedError, ServiceError
from airflow.providers.databricks_air.api.http.together import Stopped, in_thread, together
from databricks_air_local import LocalAirRuntime

ME = "/api/2.0/preview/scim/v2/Me"
SUBMIT = "/api/2.2/jobs/runs/submit"
HOME = "/Workspace/Users/you@example.com"


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """A server of the test's own."""
    with LocalAirRuntime(tmp_path / "air") as runtime:
        yield runtime


@pytest.fixture
def client(air: LocalAirRuntime) -> Iterator[SyncClient]:
    """A client that asks it."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    yield client
    client.close()


def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_halted_client_does_not_repeat(air: LocalAirRuntime, client: SyncClient) -> None:
    """A submission that was answered 503 is not sent again once the task is being ended."""
    air.add_fault(SUBMIT, times=-1)
    with ThreadPoolExecutor() as pool:
        submission = pool.submit(client.perform, calls.submit_run({"idempotency_token": "t"}))
        until(lambda: air.requests(path=SUBMIT))
        client.halt()
        with pytest.raises(HaltedError):
            submission.result(timeout=20)
    count = len(air.requests(path=SUBMIT))
    with pytest.raises(HaltedError, match="not sent"):
        client.perform(calls.me())
    time.sleep(1)
    assert len(air.requests(path=SUBMIT)) == count
    assert not air.requests(path=ME)


def test_a_halted_client_hears_the_answer_to_what_is_under_way(
    air: LocalAirRuntime, client: SyncClient
) -> None:
    """What was sent before the halt is answered after it."""
    air.add_fault(ME, then="answer", delay=1.0)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client.perform, calls.me())
        until(lambda: air.faults()[0]["seen"])
        client.halt()
        assert asked.result(timeout=20).user_name == "you@example.com"


class Killed(Exception):
    """What a kill handler raises."""


def test_a_signal_handler_has_a_client_of_its_own(air: LocalAirRuntime, client: SyncClient) -> None:
    """A handler that interrupts a call in flight asks through a second client, and its exception ends the call."""
    air.add_fault(ME, then="hang", times=1)
    heard: list[str] = []

    def handle(*_: object) -> None:
        client.halt()
        second = SyncClient(client.credentials)
        heard.append(second.perform(calls.me().within(3)).user_name)
        second.close()
        raise Killed

    def kill() -> None:
        until(lambda: air.faults()[0]["seen"])
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(Killed):
            client.perform(calls.me())
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert heard == ["you@example.com"]


@pytest.mark.parametrize("fault", [{"then": "hang"}, {"status": 503}], ids=["hang", "503"])
def test_a_limit_holds(air: LocalAirRuntime, client: SyncClient, fault: dict[str, Any]) -> None:
    """A call that has two seconds ends after two seconds, also when its last try began just before."""
    air.add_fault(ME, times=1, status=503)
    air.add_fault(ME, times=-1, **fault)
    started = time.monotonic()
    with pytest.raises(ServiceError):
        client.perform(calls.me().within(2))
    assert time.monotonic() - started < 2.6


def test_a_large_file_arrives_piece_by_piece(
    air: LocalAirRuntime, client: SyncClient, tmp_path: Path
) -> None:
    """A file of many pieces arrives whole, with its length said before."""
    file = tmp_path / "large"
    file.write_bytes(os.urandom(5 * 1024 * 1024 + 17))
    client.perform(calls.mkdirs(HOME))
    client.perform(calls.import_file(f"{HOME}/large", lambda: file.open("rb")))
    assert client.perform(calls.get_status(f"{HOME}/large"))["size"] == file.stat().st_size


def test_a_closed_client_opens_again(air: LocalAirRuntime, client: SyncClient) -> None:
    """Closing ends the thread; the next call begins anew."""
    before = threading.active_count()
    client.perform(calls.me())
    client.close()
    assert threading.active_count() < before + 1
    assert client.perform(calls.me()).user_name == "you@example.com"


def test_a_forgotten_client_ends_its_thread(air: LocalAirRuntime) -> None:
    """Nobody closes the client of a hook: it ends with its last reference."""
    before = threading.active_count()
    SyncClient(TokenCredentials(air.url, air.token)).perform(calls.me())
    until(lambda: threading.active_count() <= before)


def test_the_first_failure_ends_its_siblings() -> None:
    """The others have ended when the failure is raised, also one in a thread."""
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise ValueError("first")

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("coroutine")

    def work(check: Callable[[], None]) -> None:
        try:
            while True:
                check()
                time.sleep(0.01)
        except Stopped:
            ended.append("thread")
            raise

    with pytest.raises(ValueError, match="first"):
        asyncio.run(together([wait, lambda: in_thread(work), fail]))
    assert sorted(ended) == ["coroutine", "thread"]


def test_only_so_many_run_at_once() -> None:
    """The limit holds, and the results are in order."""
    running, most = 0, 0

    async def task(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return number

    tasks = [lambda number=number: task(number) for number in range(20)]
    assert asyncio.run(together(tasks, limit=3)) == list(range(20))
    assert most == 3


def test_bytes_are_opened_anew_for_each_try(air: LocalAirRuntime, client: SyncClient) -> None:
    """What is sent again is read again, and closed each time."""
    client.perform(calls.mkdirs(HOME))
    air.lose_answer("/api/2.0/workspace-files/import-file/*")
    opened: list[io.BytesIO] = []

    def content() -> io.BytesIO:
        opened.append(io.BytesIO(b"text"))
        return opened[-1]

    client.perform(calls.import_file(f"{HOME}/small", content))
    assert [stream.closed for stream in opened] == [True, True]
