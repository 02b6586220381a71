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
"""What is not kept: the rest of a log that is too long, and runs that ended long ago."""

from __future__ import annotations

import os
from pathlib import Path

from databricks_air_local import LocalAirRuntime
from wire import Client, until

MUCH = "head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; exit 3"


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_a_log_that_is_too_long_says_so(tmp_path: Path) -> None:
    """Its beginning is kept, a line says that the rest is not, and how the command ended is known nevertheless."""
    with LocalAirRuntime(tmp_path, log_limit=100_000) as air:
        client = Client(air)
        run_id = client.submit(MUCH)
        client.wait(run_id)
        lines = client.logs(run_id)

    assert lines[-2] == (
        "The log of this node is longer than 100,000 bytes: what follows is not kept (--log-limit)."
    )
    assert lines[-1].startswith("ERROR: Script failed with exit code 3")
    assert 100_000 <= sum(len(line) + 1 for line in lines) < 250_000


def test_the_disk_is_given_back(tmp_path: Path) -> None:
    """What a command prints beyond the limit does not stay on the disk either."""
    with LocalAirRuntime(tmp_path, log_limit=10_000) as air:
        client = Client(air)
        run_id = client.submit(
            "while true; do head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 100; sleep 0.05; done"
        )
        client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "RUNNING")
        output = tmp_path / "runs" / str(run_id) / "attempt_0" / "node_0" / "output.log"
        grown = [0]

        def shrunk() -> bool:
            grown.append(output.stat().st_size if output.exists() else 0)
            return grown[-1] < grown[-2]

        assert all(until(shrunk) for _ in range(3))


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    """Of the runs that ended the newest stay; of older ones logs, metrics and artifacts go, and their tokens stay."""
    with LocalAirRuntime(tmp_path, keep=2) as air:
        client = Client(air)
        air.on("waits").waits()
        waiting = client.submit(name="waits")
        ended = [client.submit("seq 1000", idempotency_token=f"t{number}") for number in range(4)]
        assert until(lambda: air.runs_alive == [waiting])

        assert [client.get("/api/2.2/jobs/runs/get", run_id=run_id).status for run_id in ended] == [
            400,
            400,
            200,
            200,
        ]
        assert client.run(waiting)["state"]["life_cycle_state"] == "PENDING"
        assert sorted(os.listdir(tmp_path / "runs")) == [str(run_id) for run_id in ended[2:]]
        assert len(air.workspace.mlflow.runs) == 2
        again = client.send("POST", "/api/2.2/jobs/runs/submit", client.submit_body(idempotency_token="t0"))
        assert again.json["message"] == "The run of idempotency token 't0' was deleted."
    with LocalAirRuntime(tmp_path, keep=1) as air:
        assert [run["run_id"] for run in Client(air).get("/api/2.2/jobs/runs/list").json["runs"]] == [
            ended[3],
            waiting,
        ]
