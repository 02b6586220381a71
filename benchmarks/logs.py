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
"""What printing the log of a run costs: CPU, memory and the longest hold of the event loop.

A local server sends 200,000 records in pages, and the same watch that a trigger runs prints them. Beside it
stands the simplest reading there is: parse each page, print each body, remember nothing::

    python benchmarks/logs.py [records]
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from typing import Any, NamedTuple

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.logs.stream import LogStream
from airflow.providers.databricks_air.api.watch.watch import Lines, WatchPlan
from airflow.providers.databricks_air.lifecycle.follow.task_log import TaskLog

RECORDS = 200_000
PAGE = 1000
START = 1_790_000_000
LIMIT_CPU = 15e-6
LIMIT_HOLD = 0.050
LIMIT_MEMORY = 50 * 2**20


class Service:
    """Answers ``runs/get`` and log pages in memory of the server's process side.

    :param records: how many there are, a thousand a second.
    """

    def __init__(self, records: int) -> None:
        self._pages = [
            json.dumps(
                {
                    "log_records": [
                        {
                            "time_unix_nano": str((START * 1000 + number) * 1_000_000),
                            "body": f"step {number} loss=0.123456 lr=1e-4 tokens/s=12345.6 grad_norm=1.234",
                            "node_index": 0,
                            "record_id": f"01J{number:020d}",
                        }
                        for number in range(first, min(first + PAGE, records))
                    ],
                    **({"next_page_token": str(first + PAGE)} if first + PAGE < records else {}),
                }
            ).encode()
            for first in range(0, records, PAGE)
        ]
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        task = {"run_id": 2, "attempt_number": 0, "state": state, "start_time": START * 1000, "end_time": 1}
        self._run = json.dumps({"run_id": 1, "state": state, "tasks": [task]}).encode()

    def body(self, path: str, query: dict[str, str]) -> bytes:
        """Return the body of an answer."""
        if path.endswith("/jobs/runs/get"):
            return self._run
        if not path.endswith("/logs"):
            return b"{}"
        token = query.get("page_token")
        first = int(token) if token else max(0, (int(query.get("from", 0)) - START) * 1000)
        return self._pages[min(first // PAGE, len(self._pages) - 1)]


class InMemoryClient(AsyncClient):
    """Performs calls without a network, so that only our own work is measured."""

    def __init__(self, service: Service) -> None:
        super().__init__(TokenCredentials("http://127.0.0.1", "none"))
        self._service = service

    async def _send(self, call: Any) -> Any:
        from airflow.providers.databricks_air.api.http.call import Answer

        # A network would let others run here, too.
        await asyncio.sleep(0)
        return call.read(Answer(200, {}, self._service.body(call.path, call.query)))


class Sink:
    """Counts lines and does nothing else: what Airflow does with a line is not ours."""

    def __init__(self) -> None:
        self.count = 0

    def info(self, message: str, text: str) -> None:
        """Count."""
        self.count += 1


async def watch_log(service: Service, log: Sink) -> float:
    """Print the log as a trigger does; return the longest turn on the processor."""
    task_log = TaskLog(1, [0], polling_interval=0.2)
    stream = await task_log.open(None, log)
    assert isinstance(stream, LogStream)
    longest = 0.0
    over = False

    async def beat() -> None:
        nonlocal longest
        last = time.thread_time()
        while not over:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    heart = asyncio.create_task(beat()) if not tracemalloc.is_tracing() else None
    async for event in Watcher(InMemoryClient(service)).follow(WatchPlan(1, 0.2), stream=stream):
        if isinstance(event, Lines):
            await task_log.print(event.lines)
    over = True
    if heart:
        await heart
    return longest


def naive(service: Service, log: Sink) -> None:
    """Parse each page and print each body."""
    more: str | None = "0"
    while more:
        page = json.loads(service.body("/logs", {"page_token": more}))
        for record in page["log_records"]:
            log.info("%s", record["body"])
        more = page.get("next_page_token")


class Cost(NamedTuple):
    """What the whole path costs.

    :param cpu: seconds of CPU a line.
    :param simple_cpu: the same for the simplest reading.
    :param turn: seconds on the processor of the longest turn in the event loop.
    :param memory: bytes over the baseline.
    """

    cpu: float
    simple_cpu: float
    turn: float
    memory: int

    @property
    def is_within_limits(self) -> bool:
        """Whether no limit is passed."""
        return self.cpu <= LIMIT_CPU and self.turn <= LIMIT_HOLD and self.memory <= LIMIT_MEMORY


def measure(records: int) -> Cost:
    """Print that many records both ways and return what it costs.

    :param records: how many.
    """
    service, log = Service(records), Sink()
    started = time.process_time()
    naive(service, log)
    simple = (time.process_time() - started) / records
    log.count = 0
    gc.collect()
    # What a collection costs that looks at all of Airflow's objects is the same for every reader.
    gc.freeze()
    try:
        started = time.process_time()
        asyncio.run(_without_heart(service, log))
        ours = (time.process_time() - started) / records
        assert log.count == records, (log.count, records)
        turn = asyncio.run(watch_log(service, log))
        tracemalloc.start()
        asyncio.run(watch_log(service, log))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    return Cost(ours, simple, turn, peak)


def main() -> int:
    """Measure, print, and fail when a limit is passed."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    cost = measure(records)
    print(f"records                      {records:>10,}")
    print(f"CPU a line, whole path       {cost.cpu * 1e6:>10.2f} µs   (limit {LIMIT_CPU * 1e6:.0f})")
    print(f"CPU a line, parse and print  {cost.simple_cpu * 1e6:>10.2f} µs")
    print(f"ratio                        {cost.cpu / cost.simple_cpu:>10.2f}")
    print(f"longest turn of the loop     {cost.turn * 1e3:>10.2f} ms   (limit {LIMIT_HOLD * 1e3:.0f})")
    print(
        f"memory over the baseline     {cost.memory / 2**20:>10.2f} MiB  (limit {LIMIT_MEMORY / 2**20:.0f})"
    )
    return int(not cost.is_within_limits)


async def _without_heart(service: Service, log: Sink) -> None:
    task_log = TaskLog(1, [0], polling_interval=0.2)
    stream = await task_log.open(None, log)
    async for event in Watcher(InMemoryClient(service)).follow(WatchPlan(1, 0.2), stream=stream):
        if isinstance(event, Lines):
            await task_log.print(event.lines)


if __name__ == "__main__":
    sys.exit(main())
