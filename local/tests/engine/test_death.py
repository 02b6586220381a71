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
"""The server killed in the middle of runs, and started again on the same directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.script.scenario import Scenario
from wire import ALONE, ServerProcess, is_alive, until

PIDS = "echo $$; sleep 600 & echo $!; setsid sleep 600 & echo $!; sleep 600"


def test_kill_minus_nine_leaves_no_orphan_and_nothing_hangs(
    tmp_path: Path, servers: list[ServerProcess]
) -> None:
    """Every process dies with the server; its run goes on with its next attempt; who waited waits."""
    first = ServerProcess(tmp_path)
    servers.append(first)
    running = first.client.submit(PIDS, max_retries=1)
    alone = first.client.submit("sleep 600", name="alone")
    first.air.on("waits").waits()
    waiting = first.client.submit(name="waits")
    done = first.client.submit("echo done", name="done", idempotency_token="done")
    first.client.wait(done)
    first.client.wait(running, lambda _: len(first.client.logs(running)) == 3)
    first.client.wait(alone, lambda run: run["state"]["life_cycle_state"] == "RUNNING")
    pids = [int(line) for line in first.client.logs(running)]
    assert all(map(is_alive, pids))

    first.kill()

    assert until(lambda: not any(map(is_alive, pids)))
    second = ServerProcess(tmp_path)
    servers.append(second)
    assert (first.air.url, first.air.token) == (second.air.url, second.air.token)
    run = second.client.wait(running, lambda run: len(run["tasks"]) == 2)
    assert run["tasks"][0]["state"]["result_state"] == "FAILED"
    assert "stopped while this attempt was running" in run["tasks"][0]["state"]["state_message"]
    lost = second.client.wait(alone)
    assert (lost["state"]["life_cycle_state"], lost["state"]["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert lost["status"]["termination_details"]["code"] == "CLOUD_FAILURE"
    assert second.client.run(waiting)["state"]["life_cycle_state"] == "PENDING"
    assert second.client.logs(done) == ["done"]
    assert done == second.client.submit(name="done", idempotency_token="done")
    for run_id in (running, waiting):
        second.client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id})
        assert second.client.wait(run_id)["state"]["result_state"] == "CANCELED"
    assert second.interrupt() == 0


def test_keep_runs(tmp_path: Path, servers: list[ServerProcess]) -> None:
    """With --keep-runs a run outlives the server, and the next one follows it to its end."""
    go = tmp_path / "go"
    first = ServerProcess(tmp_path / "state", "--keep-runs")
    servers.append(first)
    command = f"echo before $$; while [ ! -e {go} ]; do sleep 0.05; done; echo after"
    kept, ended = first.client.submit(command), first.client.submit(command, name="ended")
    for run_id in (kept, ended):
        first.client.wait(run_id, lambda run: first.client.logs(run["run_id"]) != [])
    pids = [int(first.client.logs(run_id)[0].split()[1]) for run_id in (kept, ended)]

    first.kill()
    time.sleep(0.3)

    assert all(map(is_alive, pids))
    second = ServerProcess(tmp_path / "state", "--keep-runs")
    servers.append(second)
    assert second.client.run(kept)["state"]["life_cycle_state"] == "RUNNING"
    second.client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": ended})
    assert second.client.wait(ended)["state"]["result_state"] == "CANCELED"
    assert until(lambda: not is_alive(pids[1]))
    go.touch()
    assert second.client.wait(kept)["state"]["result_state"] == "SUCCESS"
    assert [f"before {pids[0]}", "after"] == second.client.logs(kept)
    assert second.interrupt() == 0


def test_an_end_while_the_server_was_away_counts(tmp_path: Path, servers: list[ServerProcess]) -> None:
    """A kept run that ended without a server is reported as it ended, with all of its lines."""
    go = tmp_path / "go"
    first = ServerProcess(tmp_path / "state", "--keep-runs")
    servers.append(first)
    run_id = first.client.submit(f"echo $$; while [ ! -e {go} ]; do sleep 0.05; done; echo after; exit 3")
    first.client.wait(run_id, lambda _: first.client.logs(run_id) != [])
    pid = int(first.client.logs(run_id)[0])
    first.interrupt()
    assert is_alive(pid)

    go.touch()
    assert until(lambda: not is_alive(pid))

    second = ServerProcess(tmp_path / "state", "--keep-runs")
    servers.append(second)
    run = second.client.wait(run_id)
    assert run["tasks"][0]["state"]["state_message"] == "Workload failed, see run output for details"
    assert [line.partition(" after")[0] for line in second.client.logs(run_id)[1:]] == [
        "after",
        "ERROR: Script failed with exit code 3",
    ]


def test_ctrl_c_leaves_nothing(tmp_path: Path, servers: list[ServerProcess]) -> None:
    """An interrupt ends the server with status 0 and all processes of its runs."""
    server = ServerProcess(tmp_path)
    servers.append(server)
    assert server.connection_line.startswith("export AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT=databricks-air://")
    run_id = server.client.submit(PIDS)
    server.client.wait(run_id, lambda _: len(server.client.logs(run_id)) == 3)
    pids = [int(line) for line in server.client.logs(run_id)]

    assert server.interrupt() == 0

    assert not any(map(is_alive, pids))
    assert not any(os.path.exists(f"/proc/{pid}") and is_alive(pid) for pid in pids)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--i-know"),
        (["--host", "192.0.2.1", "--i-know"], "192.0.2.1:0"),
        (["--secret", "novalue"], "error: --secret 'novalue': must read SCOPE/KEY=VALUE"),
        (["--secrets", "nowhere"], "error: --secrets nowhere: No such file"),
        (["--port", "65536"], "--port: '65536': must be a number from 0 to 65535"),
        (["--memory", "0G"], "--memory: '0G'"),
        (["--cpus", "0"], "--cpus: '0': must be a number that is at least 1"),
        (["--latency", "nan"], "--latency: 'nan'"),
        (["--speed", "10"], "--clock virtual"),
        (["--user", ""], "--user: must not be empty"),
        (["--state-dir", __file__], "cannot serve on 127.0.0.1:0"),
        (["--faults", "nowhere"], "--faults nowhere: No such file"),
    ],
)
def test_a_wrong_option_is_one_line(options: list[str], words: str) -> None:
    """Wrong options end with status 2 and a last line that names them."""
    done = subprocess.run(
        [sys.executable, *ALONE, *options], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("faults: [", "line 1: expected"),
        ("just text", "must be a list of faults, or a mapping"),
        ("falts: []", "'falts': not one of faults"),
        ("faults: 5", "'faults': 5 must be a list"),
        ("[{path: '*', then: explode}]", "'explode' is not one of"),
        ("[{path: '*', delay: -1}]", "fault field 'delay': -1 must be 0 or more"),
        ("behaviours: [{attempts: [{outcome: fails}]}]", "'fails' is no state such as FAILED"),
        ("behaviours: [{attempts: [{after: -1}]}]", "'after': -1 must be a number of seconds, not negative"),
        ("behaviours: [{attempts: [{metrics: {loss: much}}]}]", "'loss': 'much' must be a number"),
        ("behaviours: [{attempts: [{hold: [5]}]}]", "hold: 5 must be a mapping"),
        ("logs: {late: soon}", "log fault field 'late'"),
        ("config_errors: [1]", "config_errors: 1 must be a mapping"),
    ],
)
def test_a_broken_file_of_faults(tmp_path: Path, text: str, words: str) -> None:
    """A file of faults that cannot be is refused with its name, the field, the value and the rule."""
    file = tmp_path / "faults.yaml"
    file.write_text(text)

    with pytest.raises(ValueError, match=re.escape(f"--faults {file}: ")) as caught:
        Scenario.load(file)

    assert words in str(caught.value)


def test_one_server_for_a_directory(tmp_path: Path, servers: list[ServerProcess]) -> None:
    """A second server on a directory is refused while the first lives, however the first ends."""
    first = ServerProcess(tmp_path)
    servers.append(first)
    command = [sys.executable, *ALONE, "--state-dir", str(tmp_path)]

    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert second.returncode == 2
    assert "another local AI Runtime uses this directory" in second.stderr
    first.kill()
    servers.append(ServerProcess(tmp_path))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port that is taken is an error, and so is one that cannot be."""
    with LocalAirRuntime(tmp_path / "a") as air:
        port = int(air.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalAirRuntime(tmp_path / "b", port=port).start()
    with pytest.raises(ValueError, match="port: 65536"):
        LocalAirRuntime(port=65536)
