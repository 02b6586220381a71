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
"""Five million lines, a restart, and everybody who reads them at once."""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from databricks_air_local.engine.streams import Stream
from databricks_air_local.script.log_faults import LogFaults
from wire import ServerProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LINES = 5_000_000
# A thousand lines a second.
BEGAN = 1_700_000_000
READERS = 512


def nanoseconds(number: int) -> int:
    """Return when a line was printed."""
    return (BEGAN + number // 1000) * 10**9 + number % 1000


def write(path: Path) -> None:
    """Write what a run of five million lines leaves behind: printing them takes minutes."""
    pack, offset, text = struct.Struct("<qqq").pack, 0, 0
    with path.open("wb") as records, path.with_suffix(".index").open("wb") as index:
        for number in range(LINES):
            body = f"step {number} loss 0.123456 some more text here"
            line = f'{{"t": {nanoseconds(number)}, "b": "{body}", "o": 0, "i": {number}}}\n'.encode()
            text += len(body) + 1
            index.write(pack(nanoseconds(number), offset, text))
            records.write(line)
            offset += len(line)
    with path.with_suffix(".blocks").open("wb") as blocks:
        for first in range(0, LINES - 1023, 1024):
            blocks.write(struct.pack("<qq", nanoseconds(first), nanoseconds(first + 1023)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's directory with a run that printed so much."""
    home = tmp_path_factory.mktemp("air")
    server = ServerProcess(home)
    server.air.on("demo").succeeds(logs=["first"])
    run_id = server.client.submit()
    server.client.wait(run_id)
    server.interrupt()
    stream = home / "runs" / str(run_id) / "attempt_0" / "node_0.jsonl"
    write(stream)
    (home / "run_id").write_text(str(run_id))
    return home


READS: dict[str, dict[str, Any]] = {
    "the last lines": {"ascending": False},
    "news of the last seconds": {"since": nanoseconds(LINES - 2000)},
    "the middle": {"since": nanoseconds(LINES // 2)},
    "one second": {"since": nanoseconds(100_000), "until": nanoseconds(101_000)},
    "the next page": {"start": LINES - 500_000},
    "nothing new": {"since": nanoseconds(LINES + 1000)},
}


@pytest.mark.parametrize("read", READS)
def test_no_read_holds_the_loop(directory: Path, read: str) -> None:
    """The largest page, and opening the file again, take less than 50 ms of a processor, wherever it begins."""
    path = directory / "runs" / (directory / "run_id").read_text() / "attempt_0" / "node_0.jsonl"
    before = time.thread_time()
    stream = Stream(path, "r", LogFaults())
    opened = time.thread_time() - before
    assert len(stream) == LINES
    arguments = {"since": 0, "until": 2**62, "ascending": True, "start": None, "now": 2e9, **READS[read]}
    spent = []
    for _ in range(3):
        before = time.thread_time()
        list(islice(stream.select(**arguments), 2001))
        spent.append(time.thread_time() - before)
    assert opened < 0.05
    assert min(spent) < 0.05


@pytest.fixture
def server(directory: Path) -> Iterator[ServerProcess]:
    """The server, started again."""
    process = ServerProcess(directory)
    yield process
    process.interrupt()


def test_five_hundred_readers(
    directory: Path, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of 512 readers gets its page; together they cost the server less than 5 ms of a processor each."""
    run_id = (directory / "run_id").read_text()
    path = f"{server.air.url}/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs"
    headers = {"Authorization": f"Bearer {server.air.token}"}

    async def get(session: aiohttp.ClientSession, second: int) -> float:
        began = time.perf_counter()
        async with session.get(path, params={"from": second, "page_size": 100}) as answer:
            found = (await answer.json())["log_records"]
        assert [one["time_unix_nano"] for one in found] == [
            nanoseconds((second - BEGAN) * 1000 + number) for number in range(100)
        ]
        return time.perf_counter() - began

    async def everybody() -> list[float]:
        limits = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=limits) as session:
            await get(session, BEGAN)
            seconds = (BEGAN + LINES // 1000 - 1 - number % 50 for number in range(READERS))
            return await asyncio.gather(*(get(session, second) for second in seconds))

    process = psutil.Process(server.process.pid)
    before = sum(process.cpu_times()[:2])
    waited = sorted(asyncio.run(everybody()))
    cost = (sum(process.cpu_times()[:2]) - before) / READERS
    with capsys.disabled():
        sys.stdout.write(
            f"\n512 readers: median {waited[READERS // 2]:.2f} s, longest {waited[-1]:.2f} s, "
            f"{cost * 1000:.1f} ms of a processor each\n"
        )
    assert cost < 0.005
