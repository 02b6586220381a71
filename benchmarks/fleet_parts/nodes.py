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
"""The log of one run with 64 nodes, whose lines come side by side: what showing them costs."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import Any

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.call import Answer
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.watch.watch import Lines, WatchPlan
from airflow.providers.databricks_air.lifecycle.follow.task_log import TaskLog
from fleet_parts.table import Row

__all__ = ["many_nodes"]

NODES = 64
PAGE = 1000
LINES = 192_000
TRIES = 3
RATE = 100
"""Lines a second, of all nodes together."""
START = 1_790_000_000
MOST_CPU = 5.0
MOST_HELD = 10.0


class Service:
    """Answers what a watch asks, from memory: the records of each node, as the log endpoint gives them.

    :param lines: how many there are.
    """

    def __init__(self, lines: int) -> None:
        # Each node writes a line every 0.64 s.
        self._bodies: list[list[str]] = [[] for _ in range(NODES)]
        for number in range(lines):
            record = {
                "time_unix_nano": str(START * 10**9 + number * 10**9 // RATE),
                "body": f"step {number} loss=0.123456 lr=1e-4 tokens/s=12345.6 grad_norm=1.234",
                "node_index": number % NODES,
                "record_id": f"01J{number:020d}",
            }
            self._bodies[number % NODES].append(json.dumps(record))
        self._pages: dict[tuple[int, int], bytes] = {}
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        compute = {"accelerator_type": "GPU_1xA10", "accelerator_count": NODES}
        task = {
            "run_id": 2,
            "attempt_number": 0,
            "state": state,
            "start_time": START * 1000,
            "end_time": 1,
            "ai_runtime_task": {"deployments": [{"compute": compute}]},
        }
        self._run = json.dumps({"run_id": 1, "state": state, "tasks": [task]}).encode()

    def body(self, path: str, query: dict[str, str]) -> bytes:
        """Return the body of an answer."""
        if path.endswith("/jobs/runs/get"):
            return self._run
        if not path.endswith("/logs"):
            return b"{}"
        since = max(0, int(query.get("from", 0)) - START) * RATE // NODES
        return self._page(int(query["filter.node_index"]), int(query.get("page_token") or since))

    def _page(self, node: int, first: int) -> bytes:
        """Return a page; who asks again gets the same bytes."""
        if (node, first) not in self._pages:
            bodies = self._bodies[node]
            more = first + PAGE if first + PAGE < len(bodies) else ""
            records = ",".join(bodies[first : first + PAGE])
            self._pages[node, first] = f'{{"log_records":[{records}],"next_page_token":"{more}"}}'.encode()
        return self._pages[node, first]


class InMemoryClient(AsyncClient):
    """Performs calls without a network, so that only our own work is measured."""

    def __init__(self, service: Service) -> None:
        super().__init__(TokenCredentials("http://127.0.0.1", "none"))
        self._service = service

    async def _send(self, call: Any) -> Any:
        # A network would let others run here, too.
        await asyncio.sleep(0)
        return call.read(Answer(200, {}, self._service.body(call.path, call.query)))


class Sink:
    """Keeps lines in their order: what Airflow does with a line is not ours."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def info(self, _: str, text: str) -> None:
        """Keep the number of the line."""
        if "] step " in text:
            self.steps.append(int(text.split("step ", 1)[1].split(" ", 1)[0]))


def many_nodes() -> list[Row]:
    """Return the rows."""
    service = Service(LINES)
    gc.collect()
    # What a collection costs that looks at all of Airflow's objects is the same for every reader.
    gc.freeze()
    sink = Sink()
    keeping = time.process_time()
    for number in range(LINES):
        sink.info("%s", f"[node 1] step {number} loss=0.123456")
    keeping = time.process_time() - keeping
    sink.steps.clear()
    # Once before, so that the service has its pages.
    asyncio.run(_show(service, Sink()))
    costs, holds = [], []
    # Others on the machine make a number larger, never smaller.
    for _ in range(TRIES):
        sink.steps.clear()
        started = time.process_time()
        asyncio.run(_show(service, sink))
        costs.append((time.process_time() - started - keeping) / LINES)
        holds.append(asyncio.run(_show(service, Sink(), is_timed=True)))
    cpu, held = min(costs), min(holds)
    order = sum(before > after for before, after in zip(sink.steps, sink.steps[1:], strict=False))
    lost = LINES - len(set(sink.steps))
    gc.unfreeze()
    what = f"the log of one run with {NODES} nodes, all shown"
    return [
        Row(what, "CPU a line, µs", cpu * 1e6, most=MOST_CPU),
        Row(what, "event loop held at most, ms of CPU", held * 1000, most=MOST_HELD),
        Row(what, "lines that were lost", float(lost), most=0.0),
        Row(what, "lines before an earlier one", float(order), most=0.0),
    ]


async def _show(service: Service, sink: Sink, *, is_timed: bool = False) -> float:
    """Print the log as a trigger does; return the longest turn on the processor."""
    longest, over = 0.0, False

    async def beat() -> None:
        nonlocal longest
        last = time.thread_time()
        while not over:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    heart = asyncio.create_task(beat()) if is_timed else None
    task_log = TaskLog(1, "all", polling_interval=0.2)
    stream = await task_log.open(None, sink)
    async for event in Watcher(InMemoryClient(service)).follow(WatchPlan(1, 0.2), stream=stream):
        if isinstance(event, Lines):
            await task_log.print(event.lines)
    over = True
    if heart:
        await heart
    return longest
