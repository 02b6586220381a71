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
"""One side of the comparison: follows a crowd in a process of its own, as a triggerer does, and says what it took.

The first line on its standard input says where the server is, the second one which runs there are. It prints
``ready`` when it wants the second, ``release <run id>`` when a run shall end, and its numbers as the last line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TREE = Path(__file__).resolve().parent.parent.parent
TICK = 0.01


class Sink:
    """Counts the lines of runs: what Airflow does with a line is not ours."""

    def __init__(self) -> None:
        self.lines = 0

    def info(self, message: str, *arguments: Any) -> None:
        """Count."""
        self.lines += str(arguments[0] if arguments else message).startswith("line ")

    def log(self, _: int, message: str, *arguments: Any) -> None:
        """Count."""
        self.info(message, *arguments)

    def warning(self, *_: Any) -> None:
        """Take it."""

    error = debug = warning


def main() -> None:
    """Follow what standard input says."""
    side, task = sys.argv[1], json.loads(sys.stdin.readline())
    _prepare_environment(task)
    if task["clock"]:
        sys.path.insert(0, str(TREE))
        from tests.virtual_time import install

        loop = install(Path(task["clock"]))
    else:
        loop = asyncio.new_event_loop()
    took = loop.run_until_complete(Side(side, task).follow())
    print(json.dumps(took), flush=True)
    # What is left open goes with the process.
    os._exit(0)


def _prepare_environment(task: dict[str, Any]) -> None:
    parts = urlsplit(task["url"])
    own = {"conn_type": "databricks_air", "host": task["url"], "password": task["token"]}
    stock = {
        "conn_type": "databricks",
        "host": parts.hostname,
        "port": parts.port,
        "schema": "http",
        "password": task["token"],
    }
    os.environ["AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT"] = json.dumps(own)
    os.environ["AIRFLOW_CONN_DATABRICKS_DEFAULT"] = json.dumps(stock)
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
    # A proxy of the machine must not stand between the two.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


class Side:
    """Follows a crowd.

    :param name: ``ours`` or ``peer``.
    :param task: what the first line said.
    """

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self._name = name
        self._task = task
        self._seen: dict[int, float] = {}
        self._sink = Sink()

    async def follow(self) -> dict[str, Any]:
        """Follow all runs to their ends, and return what that took."""
        logging.disable(logging.INFO)
        self._interval: float = 1
        await self._fire(self._task["warm"], is_warm=True)
        print("ready", flush=True)
        self._crowd = json.loads(sys.stdin.readline())
        self._interval = self._crowd["interval"]
        runs = self._crowd["runs"]
        gc.collect()
        before, cpu, wall = _resident(), _cpu(), time.monotonic()
        lags: list[float] = []
        ticking = asyncio.create_task(_tick(lags)) if not self._task["clock"] else None
        ending = asyncio.create_task(self._end(runs))
        fires = [asyncio.create_task(self._start(number, run_id)) for number, run_id in enumerate(runs)]
        sizes: list[int] = []
        while not all(each.done() for each in fires):
            await asyncio.sleep(max(0.5, self._crowd["seconds"] / 200))
            if not any(each.done() for each in fires):
                sizes.append(_resident())
        await asyncio.gather(ending, *fires)
        cpu, wall = _cpu() - cpu, time.monotonic() - wall
        if ticking:
            ticking.cancel()
        lags.sort()
        return {
            "seen": self._seen,
            "cpu": cpu,
            "wall": wall,
            "memory": statistics.median(sizes[len(sizes) // 2 :]) - before,
            "lag": lags[int(len(lags) * 0.99)] if lags else 0.0,
            "lines": self._sink.lines,
        }

    async def _start(self, number: int, run_id: int) -> None:
        await asyncio.sleep(number * self._crowd["starts_over"] / len(self._crowd["runs"]))
        await self._fire(run_id)

    async def _fire(self, run_id: int, *, is_warm: bool = False) -> None:
        async for _ in self._trigger(run_id).run():
            if not is_warm:
                self._seen[run_id] = time.time()
            return

    def _trigger(self, run_id: int) -> Any:
        if self._name == "ours":
            from airflow.providers.databricks_air.triggers.air import AirRunTrigger

            nodes = [0] if run_id != self._task["warm"] and self._crowd["has_logs"] else None
            trigger: Any = AirRunTrigger(run_id, polling_interval=self._interval, log_nodes=nodes)
            if nodes:
                trigger._log = self._sink
            return trigger
        from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

        return DatabricksExecutionTrigger(
            run_id, "databricks_default", polling_period_seconds=int(self._interval)
        )

    async def _end(self, runs: list[int]) -> None:
        """Have the runs end, one after the other."""
        began = time.monotonic()
        first = began + self._crowd["seconds"] - self._crowd["ends_over"] / 2
        for number, run_id in enumerate(runs):
            at = first + number * self._crowd["ends_over"] / len(runs)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            print("release", run_id, flush=True)
            if self._task["clock"]:
                # The time stands until it is done.
                sys.stdin.readline()


async def _tick(lags: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(TICK)
        lags.append(max(0.0, time.monotonic() - began - TICK))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
