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

"""A hundred deferred triggers on one OAuth connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

TOKEN = "/oidc/v1/token"
CONFIG = load_run_config(
    "experiment_name: many\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "command: echo\nmax_retries: 0\n"
)


def submit(air: LocalAirRuntime, count: int) -> list[int]:
    """Submit so many runs, and return their ids."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    first = launch(client, CONFIG, token="run-0")
    body = air.runs()[0]["body"]
    others = [submit_run({**body, "idempotency_token": f"run-{number}"}) for number in range(1, count)]
    runs = [first, *(client.perform(call).run_id for call in others)]
    client.close()
    return runs


def test_a_hundred_triggers_share_a_token(tmp_path: Path) -> None:
    """One token for each lifetime, not one for each trigger; the loop goes on, while the SDK is imported too."""
    # The SDK leaves a token its last 40 seconds: these are good for 10.
    with LocalAirRuntime(tmp_path / "air", token_seconds=50) as air:
        air.on("many").succeeds(after=20)
        runs = submit(air, 100)
        connection = {"conn_type": "databricks_air", "host": air.url, "login": "app", "password": air.token}
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("many_triggers.py"), *map(str, runs)],
            env={**os.environ, "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": json.dumps(connection)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        fetched = air.requests(path=TOKEN)
        asked = air.requests(path="/api/*")
    assert said["ends"] == ["terminal"] * 100
    assert said["longest"] < 0.05
    lifetimes = (asked[-1].time - fetched[0].time) / 10
    assert 1 <= len(fetched) <= lifetimes + 2
