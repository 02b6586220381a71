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
"""Crowds of runs, and what it takes each side to follow one."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from fleet_parts.table import Row

TREE = Path(__file__).resolve().parent.parent.parent
SIDE = Path(__file__).parent / "side.py"
SIDES = ("ours", "peer")
CONFIG = (
    "experiment_name: fleet\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "command: echo\nmax_retries: 0\n"
)
NAMES = {
    "requests": "requests in a run-hour",
    "cpu": "CPU in a run-hour, s",
    "memory": "memory of a trigger, KB",
    "late": "end noticed after, median, s",
    "late_p99": "end noticed after, p99, s",
    "lag": "event loop late, p99, ms",
    "core": "share of a core, %",
    "line_cpu": "CPU a line, µs",
    "line_requests": "requests a line",
    "lost": "lines that were lost",
}


@dataclass(frozen=True)
class Crowd:
    """Runs that are followed together.

    :param title: for the table.
    :param runs: how many.
    :param seconds: how long each lasts, in the mean.
    :param interval: seconds between two looks that both sides are told.
    :param ends_over: seconds over which they end, one after the other.
    :param starts_over: the same for when they begin to be followed.
    :param shares: what our number may be in relation to the peer's, by measurement.
    :param most: what our number may be, by measurement.
    :param peers: how many of them the peer follows; all when left out. Each of its triggers asks for itself, so that
        its numbers for a run do not depend on how many it follows.
    :param has_peer: whether the peer follows any.
    :param is_virtual: whether the clock skips the waiting.
    :param has_logs: whether each run prints a line a second, and we show them.
    """

    title: str
    runs: int
    seconds: float
    interval: int
    ends_over: float
    starts_over: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    peers: int = 0
    has_peer: bool = True
    is_virtual: bool = False
    has_logs: bool = False


CROWDS = {
    "long": Crowd(
        "1,000 runs of an hour (the peer: 100), both polling every 30 s",
        1000,
        3600.0,
        30,
        ends_over=600.0,
        starts_over=60.0,
        shares={"requests": 1 / 10, "cpu": 1 / 4, "memory": 1 / 3, "late": 1 / 3},
        most={"late_p99": 12.0},
        peers=100,
        is_virtual=True,
    ),
    "short": Crowd(
        "400 runs of 10 s, both polling every 2 s",
        400,
        10.0,
        2,
        ends_over=3.0,
        shares={"requests": 1 / 4, "cpu": 0.4, "memory": 1 / 2, "late": 1.0},
    ),
    "many": Crowd(
        "5,000 runs of 3 min, polling every 30 s",
        5000,
        180.0,
        30,
        ends_over=60.0,
        starts_over=60.0,
        most={"core": 25.0, "lag": 50.0},
        has_peer=False,
    ),
    "logs": Crowd(
        "500 runs of 1 min that print a line a second each",
        500,
        60.0,
        30,
        ends_over=5.0,
        most={"lost": 0.0},
        has_peer=False,
        has_logs=True,
    ),
}


def measure(crowd: Crowd) -> list[Row]:
    """Return the rows of a crowd; both sides follow it at the same time, each on a server of its own."""
    sides = SIDES if crowd.has_peer else SIDES[:1]
    found: dict[str, dict[str, float]] = {}
    threads = [
        threading.Thread(target=lambda side=side: found.update({side: _side(side, crowd)})) for side in sides
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(sides):
        raise SystemExit("a side failed")
    return [
        Row(
            crowd.title,
            name,
            found["ours"][key],
            found.get("peer", {}).get(key),
            share=crowd.shares.get(key),
            most=crowd.most.get(key),
        )
        for key, name in NAMES.items()
        if key in found["ours"]
    ]


def _side(side: str, crowd: Crowd) -> dict[str, float]:
    """Let one side follow a crowd on a server of its own, and return what that took."""
    with _server(crowd) as (air, clock):
        air.on("fleet").hangs()
        air.on("warm").succeeds()
        warm = submit(air, 1, "warm")[0]
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", SIDE, side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        told = Told(air, process, warm)
        told.say({"url": air.url, "token": air.token, "warm": warm, "clock": clock})
        count = crowd.runs if side == "ours" else crowd.peers or crowd.runs
        runs = submit(air, count, "fleet")
        told.wait_ready()
        before = _asked(air)
        began = air.stats()["now"]
        told.say(
            {
                "runs": runs,
                "interval": crowd.interval,
                "seconds": crowd.seconds,
                "starts_over": crowd.starts_over,
                "ends_over": crowd.ends_over,
                "has_logs": crowd.has_logs,
            }
        )
        written = _write_lines(air, runs, crowd) if crowd.has_logs else 0
        took = told.hear_out(answers=crowd.is_virtual)
        asked = _asked(air) - before
        kinds = Counter(request.path.rpartition("/")[2] for request in air.requests(path="/api/*"))
        print(f"{side}: {asked} requests; of the last of them: {dict(kinds)}", file=sys.stderr, flush=True)
        ended = {run["run_id"]: run["end_time"] / 1000 for run in air.runs()}
    late = sorted(at - ended[int(run_id)] for run_id, at in took["seen"].items())
    if len(late) != len(runs):
        raise SystemExit(f"{side}: {len(runs) - len(late)} runs were lost")
    hours = sum(ended[run] - began for run in runs) / 3600
    return {
        "requests": asked / hours,
        "cpu": took["cpu"] / hours,
        "memory": took["memory"] / len(runs) / 1024,
        "late": statistics.median(late),
        "late_p99": late[int(len(late) * 0.99)],
        **({} if crowd.is_virtual else {"lag": took["lag"] * 1000, "core": took["cpu"] / took["wall"] * 100}),
        **(_per_line(took, asked, written) if written else {}),
    }


def _per_line(took: dict[str, Any], asked: int, written: int) -> dict[str, float]:
    return {
        "line_cpu": took["cpu"] / written * 1e6,
        "line_requests": asked / written,
        "lost": written - took["lines"],
    }


class Told:
    """The other process, and what is said to it and by it.

    :param air: the server, where it has runs end.
    :param process: what was started.
    :param warm: id of the run that is followed before the measurement.
    """

    def __init__(self, air: Any, process: subprocess.Popen[str], warm: int) -> None:
        self._air = air
        self._process = process
        self._warm = warm

    def say(self, what: Any) -> None:
        """Say something."""
        assert self._process.stdin
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def _hear(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side failed")
        return line.strip()

    def wait_ready(self) -> None:
        """Wait until it has followed one run, so that everything is loaded."""
        while self._hear() != "ready":
            pass

    def hear_out(self, *, answers: bool) -> dict[str, Any]:
        """Have the runs end that it names, and return its last word.

        :param answers: whether it waits until a run has ended.
        """
        while True:
            line = self._hear()
            if line.startswith("release "):
                self._air.release(int(line.split()[1]))
                if answers:
                    self.say("done")
            elif line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found


def _write_lines(air: Any, runs: list[int], crowd: Crowd) -> int:
    """Have each run print a line a second until shortly before the first ends; return how many those are."""
    seconds = int(crowd.seconds - crowd.ends_over)

    def write() -> None:
        began = time.monotonic()
        for number in range(seconds):
            for place, run_id in enumerate(runs):
                at = began + number + place / len(runs)
                time.sleep(max(0.0, at - time.monotonic()))
                air.log(run_id, f"line {number} of run {run_id} loss=0.123456 lr=1e-4 tokens/s=12345.6")

    threading.Thread(target=write, daemon=True).start()
    return seconds * len(runs)


def _asked(air: Any) -> int:
    """Return how many requests a server got so far; its journal forgets, but its numbers go on."""
    found = air.workspace.script.journal.find()
    return int(found[-1]["number"]) if found else 0


@contextmanager
def _server(crowd: Crowd) -> Iterator[tuple[Any, str]]:
    """Start a local AI Runtime in a directory that goes with it; give it and the file of its clock."""
    from databricks_air_local import LocalAirRuntime

    with tempfile.TemporaryDirectory() as directory:
        options: dict[str, Any] = {}
        file = ""
        if crowd.is_virtual:
            sys.path.insert(0, str(TREE))
            from tests.virtual_time import SharedClock

            file = str(Path(directory) / "clock")
            options["clock"] = SharedClock(Path(file))
        with LocalAirRuntime(Path(directory), **options) as air:
            yield air, file


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
