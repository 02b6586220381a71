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
"""Faults: what the official client's test server can do, too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client, until


def test_a_pattern_may_name_the_method(air: LocalAirRuntime, client: Client) -> None:
    """``pattern`` is method and path in one, as the official client's test server writes them."""
    air.call("POST", "/local/faults", {"pattern": "GET */scim/*", "status": 429, "skip": 1, "times": 1})

    statuses = [client.get("/api/2.0/preview/scim/v2/Me").status for _ in range(3)]

    assert statuses == [200, 429, 200]
    assert air.faults()[0]["method"] == "GET"


def test_stale_reads(air: LocalAirRuntime, client: Client) -> None:
    """A read can answer what it answered before, although the thing changed."""
    air.on("demo").hangs()
    run_id = client.submit()
    client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "RUNNING")
    air.read_stale("*/jobs/runs/get", times=2)
    client.run(run_id)
    client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id})
    assert until(lambda: not air.runs_alive)

    states = [client.run(run_id)["state"]["life_cycle_state"] for _ in range(3)]

    assert states == ["RUNNING", "RUNNING", "TERMINATED"]


def test_the_caller_dies(air: LocalAirRuntime, client: Client) -> None:
    """The process that asked is killed when its work is done; this process never is."""
    client.put_file(f"{HOME}/demo/command.sh", "true")
    air.on("demo").succeeds()
    air.kill_caller("POST */jobs/runs/submit", times=2)
    program = (
        "import json, sys, urllib.request as u; request = json.load(sys.stdin);"
        " u.urlopen(u.Request(request['url'], json.dumps(request['body']).encode(), request['headers']))"
    )
    wanted = {
        "url": f"{air.url}/api/2.2/jobs/runs/submit",
        "body": client.submit_body(idempotency_token="dies"),
        "headers": {"Authorization": f"Bearer {air.token}"},
    }

    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(wanted), text=True, check=False)

    assert done.returncode == -signal.SIGKILL
    assert air.runs_created == 1
    with pytest.raises(ConnectionError):
        client.send("POST", "/api/2.2/jobs/runs/submit", client.submit_body(idempotency_token="dies"))
    assert air.runs_created == 1
