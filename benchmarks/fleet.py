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
"""What it costs to follow many runs from one event loop, beside the trigger of the Databricks provider.

Run ``.venv/stock/bin/python benchmarks/fleet.py``, the interpreter that has the peer. Both sides follow the same
number of runs at the same time, each in a process and with a server of its own.
The table is printed and written to ``docs/many-runs-table.rst``; only its ratios say something about another
machine. The exit code is 1 when a limit is passed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

TREE = Path(__file__).resolve().parent.parent
TABLE = TREE / "docs" / "many-runs-table.rst"
CONFIG = (
    "experiment_name: fleet\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "command: echo\nmax_retries: 0\n"
)
SIDES = ("ours", "peer")
MIDDLE = (35.0, 335.0)
"""The seconds between which the requests of long runs are counted: what a night costs is not in its first minute."""
TICK = 0.01


@dataclass(frozen=True)
class Crowd:
    """Runs that are followed together.

    :param title: for the table.
    :param runs: how many.
    :param seconds: how long each lasts.
    :param interval: seconds between two looks that both sides are told.
    :param ends_over: seconds over which they end, one after the other.
    :param limits: what our number may be in relation to the peer's, by measurement.
    :param has_peer: whether the peer follows as many.
    """

    title: str
    runs: int
    seconds: float
    interval: int
    ends_over: float
    limits: dict[str, float]
    has_peer: bool = True


SHORT = Crowd(
    "400 runs of 10 s, both polling every 2 s",
    400,
    10.0,
    2,
    3.0,
    {"requests": 1 / 4, "cpu": 0.4, "memory": 1 / 2, "late": 1.0},
)
LONG = Crowd(
    "1,000 runs of 6 min, both polling every 30 s",
    1000,
    360.0,
    30,
    40.0,
    {"requests": 1 / 10, "cpu": 1 / 4, "memory": 1 / 3, "late": 1 / 3},
)
MANY = Crowd("5,000 runs of 4 min, polling every 30 s", 5000, 240.0, 30, 60.0, {}, has_peer=False)


def main() -> int:
    """Measure the crowds that are asked for; return 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", choices=["short", "long", "many"], action="append")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(follow(options.side, json.loads(sys.stdin.readline()))))
        return 0
    crowds = {"short": SHORT, "long": LONG, "many": MANY}
    rows = [row for name in options.crowd or crowds for row in measure(crowds[name])]
    text = table(rows)
    print(text)
    TABLE.write_text(text)
    return int(any(row[-1] == "missed" for row in rows))


def measure(crowd: Crowd) -> list[list[str]]:
    """Return the rows of a crowd."""
    sides = SIDES if crowd.has_peer else SIDES[:1]
    found: dict[str, dict[str, float]] = {}
    threads = [
        threading.Thread(target=lambda side=side: found.update({side: _side(side, crowd)})) for side in sides
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {
        "requests": "requests in a run-hour",
        "cpu": "CPU in a run-hour, s",
        "memory": "memory of a trigger, KB",
        "late": "end noticed after, median, s",
        "late_p99": "end noticed after, p99, s",
        "lag": "event loop late, p99, ms",
        "core": "share of a core, %",
    }
    rows = []
    for key, name in names.items():
        ours, peer = found["ours"][key], found.get("peer", {}).get(key)
        ratio = ours / peer if peer else None
        limit = crowd.limits.get(key)
        verdict = "" if limit is None or ratio is None else "held" if ratio <= limit else "missed"
        shown = [f"{number:.3g}" if number is not None else "" for number in (ours, peer, ratio, limit)]
        rows.append([crowd.title, name, *shown, verdict])
    return rows


def table(rows: list[list[str]]) -> str:
    """Return the rows as a table for the documentation."""
    lines = [
        ".. Written by benchmarks/fleet.py",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
    ]
    for row in [["crowd", "measurement", "ours", "peer", "ratio", "limit", ""], *rows]:
        lines += [f"   {'* -' if not number else '  -'} {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def _side(side: str, crowd: Crowd) -> dict[str, float]:
    """Let one side follow a crowd on a server of its own, and return what that took."""
    with server() as air:
        air.on("fleet").hangs()
        air.on("warm").succeeds()
        warm = submit(air, 1, "warm")
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        print(
            json.dumps({"url": air.url, "token": air.token, "warm": warm[0]}), file=process.stdin, flush=True
        )
        runs = submit(air, crowd.runs, "fleet")
        while process.stdout.readline().strip() != "ready":
            pass
        air.clear_requests()
        print(json.dumps({"runs": runs, "interval": crowd.interval}), file=process.stdin, flush=True)
        began = time.time()
        ending = threading.Thread(target=_end, args=(air, runs, crowd))
        ending.start()
        middle: list[int] = []
        counting = threading.Thread(target=_count_the_middle, args=(air, began, middle))
        if crowd.seconds > MIDDLE[1]:
            counting.start()
        # What it prints must be read at once: a full pipe would stop it.
        output, _ = process.communicate()
        ending.join()
        if process.returncode:
            raise SystemExit(f"{side} failed")
        took = json.loads(output.splitlines()[-1])
        asked = len(air.requests(path="/api/*"))
        states = {run["run_id"]: run for run in air.runs()}
    late = sorted(at - states[int(run_id)]["end_time"] / 1000 for run_id, at in took["seen"].items())
    assert len(late) == len(runs), f"{side}: {len(runs) - len(late)} runs were lost"
    hours = sum(states[run]["end_time"] / 1000 - began for run in runs) / 3600
    return {
        "requests": middle[0] / len(runs) * 3600 / (MIDDLE[1] - MIDDLE[0]) if middle else asked / hours,
        "cpu": took["cpu"] / hours,
        "memory": took["memory"] / len(runs) / 1024,
        "late": statistics.median(late),
        "late_p99": late[int(len(late) * 0.99)],
        "lag": took["lag"] * 1000,
        "core": took["cpu"] / took["wall"] * 100,
    }


def _count_the_middle(air: Any, began: float, counted: list[int]) -> None:
    """Count the requests that the server gets between two moments."""
    time.sleep(max(0.0, began + MIDDLE[0] - time.time()))
    air.clear_requests()
    time.sleep(max(0.0, began + MIDDLE[1] - time.time()))
    counted.append(len(air.requests(path="/api/*")))


def _end(air: Any, runs: list[int], crowd: Crowd) -> None:
    """End the runs, one after the other."""
    first = time.monotonic() + crowd.seconds - crowd.ends_over / 2
    for number, run_id in enumerate(runs):
        time.sleep(max(0.0, first + number * crowd.ends_over / len(runs) - time.monotonic()))
        air.release(run_id)


@contextmanager
def server() -> Iterator[Any]:
    """Start a local AI Runtime in a directory that goes with it."""
    from databricks_air_local import LocalAirRuntime

    with tempfile.TemporaryDirectory() as directory, LocalAirRuntime(Path(directory)) as air:
        yield air


def submit(air: Any, count: int, experiment: str) -> list[int]:
    """Submit runs and return their ids."""
    from airflow.providers.databricks_air.api.http.calls import submit_run
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
    from airflow.providers.databricks_air.api.launch.launch import launch
    from airflow.providers.databricks_air.run import load_run_config

    client = SyncClient(TokenCredentials(air.url, air.token))
    config = load_run_config(CONFIG.replace("fleet", experiment))
    first = launch(client, config, token=uuid4().hex)
    body = next(run["body"] for run in air.runs() if run["run_id"] == first)
    calls = [submit_run({**body, "idempotency_token": uuid4().hex}) for _ in range(count - 1)]
    runs = [first, *(client.perform(call).run_id for call in calls)]
    client.close()
    return runs


def follow(side: str, task: dict[str, Any]) -> dict[str, Any]:
    """Follow runs in this process, as a triggerer does, and return what that took."""
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
    logging.disable(logging.INFO)
    return asyncio.run(_follow(side, task))


def _trigger(side: str, run_id: int, interval: int) -> Any:
    if side == "ours":
        from airflow.providers.databricks_air.triggers.air import AirRunTrigger

        return AirRunTrigger(run_id, polling_interval=interval)
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return DatabricksExecutionTrigger(run_id, "databricks_default", polling_period_seconds=interval)


async def _follow(side: str, task: dict[str, Any]) -> dict[str, Any]:
    seen: dict[int, float] = {}

    async def fire(run_id: int) -> None:
        async for _ in _trigger(side, run_id, interval).run():
            seen[run_id] = time.time()
            return

    interval = 1
    await fire(task["warm"])
    print("ready", flush=True)
    told = json.loads(await asyncio.to_thread(sys.stdin.readline))
    interval = told["interval"]
    await asyncio.sleep(0.5)
    gc.collect()
    before, cpu, wall = _resident(), _cpu(), time.monotonic()
    lags: list[float] = []
    ticking = asyncio.create_task(_tick(lags))
    fires = [asyncio.create_task(fire(run_id)) for run_id in told["runs"]]
    sizes: list[int] = []
    while not all(each.done() for each in fires):
        await asyncio.sleep(0.5)
        if not any(each.done() for each in fires):
            sizes.append(_resident())
    cpu, wall = _cpu() - cpu, time.monotonic() - wall
    ticking.cancel()
    seen.pop(task["warm"])
    lags.sort()
    return {
        "seen": seen,
        "cpu": cpu,
        "wall": wall,
        "memory": statistics.median(sizes[len(sizes) // 2 :]) - before,
        "lag": lags[int(len(lags) * 0.99)],
    }


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
    sys.exit(main())
