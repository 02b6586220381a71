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
"""Many runs at once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from databricks_air_local.remote import AirControl
from wire import HOME, KeepAlive, ServerProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


async def _submit_many(air: AirControl, bodies: list[bytes], connections: int) -> list[float]:
    times: list[float] = []
    waiting = iter(bodies)

    async def work() -> None:
        wire = KeepAlive(air)
        for body in waiting:
            started = time.perf_counter()
            assert await wire.send("POST", "/api/2.2/jobs/runs/submit", body) == 200
            times.append(time.perf_counter() - started)
        wire.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return times


def _on_processor(pid: int) -> tuple[int, int]:
    """Return the nanoseconds that the threads of a process had a processor, and that they waited for one."""
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(ran) for ran, _, _ in found), sum(int(waited) for _, waited, _ in found)


def _is_busy() -> bool:
    """Say whether others use the machine: more of them want a processor than there are."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


class Round(NamedTuple):
    """How quickly 200 submits were answered.

    :param fair: 99th percentile (milliseconds) without the part in which others had the server's processor.
    :param p99: 99th percentile as the client saw it, milliseconds.
    :param p50: the median, milliseconds.
    :param spent: processor time of the server for each submit, milliseconds.
    :param took: seconds until all 200 runs had ended.
    """

    fair: float
    p99: float
    p50: float
    spent: float
    took: float


def _submit_short_runs(server: ServerProcess, body: bytes) -> Round:
    busy, before, started = _is_busy(), _on_processor(server.process.pid), time.monotonic()
    times = sorted(asyncio.run(_submit_many(server.air, [body] * 200, 20)))
    after = _on_processor(server.process.pid)
    ran, waited = after[0] - before[0], after[1] - before[1]
    deadline = time.monotonic() + 300
    while len(server.air.runs_alive) > 2000 and time.monotonic() < deadline:
        time.sleep(0.1)
    p50, p99 = (times[int(len(times) * part) - 1] * 1000 for part in (0.5, 0.99))
    share = ran / (ran + waited) if busy else 1.0
    return Round(p99 * share, p99, p50, ran / 200e6, time.monotonic() - started)


def test_many_runs(tmp_path: Path, servers: list[ServerProcess], capsys: pytest.CaptureFixture[str]) -> None:
    """200 short runs among 2,000 that wait: submits stay quick and nothing is left behind."""
    server = ServerProcess(tmp_path)
    servers.append(server)
    air, client, process = server.air, server.client, psutil.Process(server.process.pid)
    before = (process.num_fds(), process.num_threads(), len(process.children(recursive=True)))
    air.on("idle").waits()
    for name in ("idle", "short"):
        client.put_file(f"{HOME}/{name}/command.sh", "sleep 1; echo done")
    idle = json.dumps(client.submit_body("idle")).encode()
    asyncio.run(_submit_many(air, [idle] * 2000, 20))
    assert len(air.runs_alive) == 2000
    short = json.dumps(client.submit_body("short")).encode()

    # The promise is about a machine of its own; other tests may run beside this one: the best of three.
    rounds = [_submit_short_runs(server, short)]
    while len(rounds) < 3 and rounds[-1].fair >= 200:
        rounds.append(_submit_short_runs(server, short))

    assert len(air.runs_alive) == 2000
    results = {run["state"].get("result_state") for run in air.runs() if run["run_name"] == "short"}
    assert results == {"SUCCESS"}
    assert air.stats()["processes"] == 0
    assert not process.children(recursive=True)
    after = (process.num_fds(), process.num_threads(), len(process.children(recursive=True)))
    best, megabytes = min(rounds), process.memory_info().rss / 1024**2
    with capsys.disabled():
        print(f"\nbest of {len(rounds)}: {best}; {megabytes:.0f} MiB")  # noqa: T201 - what this test is for
    assert best.fair < 200
    # The two threads that lay out nodes stay; their pool is made when it is first needed.
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] <= before[1] + 2
    assert server.interrupt() == 0
