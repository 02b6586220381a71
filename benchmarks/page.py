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
"""What the pages in Airflow cost: the start of the API server, and requests to the workspace.

The start is measured with the pages and without, in processes of their own, in turns; the requests are counted by the
local AI Runtime::

    python benchmarks/page.py [turns]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.runs.picture import picture
from airflow.providers.databricks_air.plugin.fleet import Fleet
from airflow.providers.databricks_air.plugin.views import FRESH
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_1_PLUS, airflow_instance
from databricks_air_local import LocalAirRuntime

TURNS = 5
LIMIT_START = 1.1
"""CPU of the start with the pages, times that without."""
LIMIT_TASK = 80
"""Requests a minute for the page of a task, with eight nodes and six metrics."""
LIMIT_FLEET = 40
"""Requests a minute for the fleet, with 100 live runs, once their notes are read."""
FLEET = 100

PROGRAM = """
import time
from airflow.api_fastapi.app import create_app
create_app("core")
print(time.process_time())
"""
CONFIG = """
experiment_name: {name}
compute: {{accelerator_type: GPU_8xH100, num_accelerators: {accelerators}}}
max_retries: 0
command: "true"
"""


def start(home: str, page: bool) -> float:
    """Return the CPU seconds in which a process of its own makes the API server's application."""
    settings = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABRICKS_AIR__PAGE": str(page),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def starts(turns: int) -> bool:
    """Measure the start with the pages and without; say whether it holds."""
    with tempfile.TemporaryDirectory() as home:
        pairs = [(start(home, True), start(home, False)) for _ in range(turns + 1)][1:]
    with_page, without = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"start of the API server, CPU: {with_page:.2f} s with the pages, {without:.2f} s without")
    print(f"ratio {ratio:.3f}, limit {LIMIT_START}{'' if ratio <= LIMIT_START else '  MISSED'}")
    return ratio <= LIMIT_START


def submit(air: LocalAirRuntime, name: str, accelerators: int = 8) -> int:
    """Start a run as a task does."""
    config = load_run_config(CONFIG.format(name=name, accelerators=accelerators))
    note = {"dag_id": "a", "run_id": "b", "task_id": name, "map_index": -1, "airflow": airflow_instance()}
    with closing(SyncClient(TokenCredentials(air.url, air.token))) as client:
        return launch(client, config, token=name, owner=note)


def requests(air: LocalAirRuntime, look: Callable[[AsyncClient], Coroutine[Any, Any, Any]]) -> int:
    """Return how many requests a look takes."""

    async def go() -> None:
        client = AsyncClient(TokenCredentials(air.url, air.token))
        await look(client)
        await client.close()

    air.clear_requests()
    asyncio.run(go())
    return len(air.requests())


def looks() -> bool:
    """Count the requests of each page; say whether the limits hold."""
    a_minute = 60 / FRESH
    with LocalAirRuntime() as air:
        air.on("small").hangs(metrics={"loss": [1.0], "accuracy": [0.5]})
        air.on("large").hangs(metrics={f"metric_{number}": [1.0] for number in range(12)})
        air.on("fleet-*").waits()
        small, large = submit(air, "small"), submit(air, "large", 64)
        few = requests(air, lambda client: picture(client, small)) * a_minute
        many = requests(air, lambda client: picture(client, large)) * a_minute
        for number in range(FLEET - 2):
            submit(air, f"fleet-{number}")
        fleet = Fleet()
        first = requests(air, lambda client: fleet.look(client, "air"))
        later = requests(air, lambda client: fleet.look(client, "air")) * a_minute
    print(f"page of a task, 1 node and 2 metrics: {few:.0f} requests a minute, for any number of readers")
    print(f"page of a task, 8 nodes and 6 metrics: {many:.0f}, limit {LIMIT_TASK}")
    print(f"page of the fleet, {FLEET} live runs: {first} for the first look, then {later:.0f} a minute")
    return many <= LIMIT_TASK and later <= LIMIT_FLEET


def main() -> int:
    """Measure both and fail when a limit is missed."""
    if not AIRFLOW_V_3_1_PLUS:
        print("Airflow has pages of plugins since 3.1: nothing to measure")
        return 0
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    return int(not all([starts(turns), looks()]))


if __name__ == "__main__":
    sys.exit(main())
