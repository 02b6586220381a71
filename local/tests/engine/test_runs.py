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
"""Runs that execute commands."""

from __future__ import annotations

import io
import os
import re
import tarfile
import time
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not _alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_a_successful_command(client: Client) -> None:
    """A command that exits with 0 ends its run as TERMINATED and SUCCESS, and its lines are in the log."""
    run, lines = client.execute("echo one; echo two >&2; printf three")

    assert {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}.items() <= run["state"].items()
    assert run["status"]["termination_details"]["code"] == "SUCCESS"
    assert lines == ["one", "two", "three"]


def test_a_failed_command_has_the_roll_up_of_the_service(client: Client) -> None:
    """A failed task makes the run INTERNAL_ERROR and FAILED; the task itself is TERMINATED and FAILED."""
    run, lines = client.execute("echo before; false; echo never")

    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    task = run["tasks"][0]
    assert (task["state"]["life_cycle_state"], task["state"]["result_state"]) == ("TERMINATED", "FAILED")
    assert run["status"]["termination_details"]["code"] == "RUN_EXECUTION_ERROR"
    assert run["status"]["state"] == "TERMINATED"
    expected = "Task demo failed with message: Workload failed, see run output for details."
    assert expected == run["state"]["state_message"]
    assert lines[0] == "before"
    assert re.fullmatch(r"ERROR: Script failed with exit code 1 after \d+s", "\n".join(lines[1:]))


@pytest.mark.parametrize("command", ["echo $UNSET_NAME", "false | true", "exit 7"])
def test_bash_is_strict(client: Client, command: str) -> None:
    """Unset names, failing pipes and exit statuses fail the command, as with ``bash -euo pipefail``."""
    run, _ = client.execute(command)

    assert run["state"]["result_state"] == "FAILED"


def test_variables_of_a_node(client: Client) -> None:
    """Every node of a run gets the documented variables, and the same rendezvous address."""
    command = (
        'echo "$NODE_RANK $NUM_NODES $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $NCCL_DEBUG"'
    )
    command += (
        '; echo "${RANK-none} ${LOCAL_RANK-none} ${CODE_SOURCE_PATH-none} ${HYPERPARAMETERS_PATH-none}"'
    )
    run_id = client.submit(command, accelerator="GPU_8xH100", count=16)
    client.wait(run_id)

    first, second = client.logs(run_id), client.logs(run_id, node=1)
    assert first[0].startswith("0 2 16 8 127.0.0.1:")
    assert second[0].startswith("1 2 16 8 127.0.0.1:")
    assert first[0].split()[4:] == second[0].split()[4:]
    assert first[1] == "none none none none"


def test_sidecar_files_and_secrets() -> None:
    """Variables, secrets and parameters come from the files beside the command."""
    with LocalAirRuntime(secrets={"scope/key": "s3cret"}) as air:
        client = Client(air)
        client.put_file(f"{HOME}/demo/env_vars.json", '[{"name": "A", "value": "a b"}]')
        client.put_file(
            f"{HOME}/demo/secret_env_vars.json",
            '[{"name": "S", "secret_scope": "scope", "secret_key": "key"}]',
        )
        client.put_file(f"{HOME}/demo/hyperparameters.yaml", "lr: 0.1\n")

        _, lines = client.execute('echo "$A/$S"; cat "$HYPERPARAMETERS_PATH"')

    assert lines == ["a b/s3cret", "lr: 0.1"]


def test_a_missing_secret_fails_the_attempt_with_its_name(client: Client) -> None:
    """A secret that does not exist is named in the run's message."""
    client.put_file(
        f"{HOME}/demo/secret_env_vars.json", '[{"name": "S", "secret_scope": "scope", "secret_key": "key"}]'
    )

    run, _ = client.execute("true")

    assert "Secret does not exist with scope: scope and key: key" in run["state"]["state_message"]


def test_code_is_extracted_and_named(client: Client) -> None:
    """The snapshot's top directory is where CODE_SOURCE_PATH points."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("src/train.txt")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    client.put_file(f"{HOME}/snap.tar.gz", packed.getvalue())

    _, lines = client.execute(
        'cat "$CODE_SOURCE_PATH/train.txt"; echo; basename "$CODE_SOURCE_PATH"',
        air={"code_source_path": f"{HOME}/snap.tar.gz"},
    )

    assert lines == ["hello", "src"]


def test_a_snapshot_that_climbs_out_is_refused(client: Client, air: LocalAirRuntime) -> None:
    """An archive member outside its directory fails the attempt and writes nothing there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../../../escaped"), io.BytesIO())
    client.put_file(f"{HOME}/snap.tar.gz", packed.getvalue())

    run, _ = client.execute("true", air={"code_source_path": f"{HOME}/snap.tar.gz"})

    assert run["state"]["result_state"] == "FAILED"
    assert not list(air.workspace.store.directory.rglob("escaped"))


def test_attempts(client: Client) -> None:
    """A failing attempt is followed by another with its own task run, output and MLflow run."""
    marker = client.air.workspace.store.directory / "marker"  # type: ignore[attr-defined]
    run_id = client.submit(
        f"if [ -e {marker} ]; then echo second; else touch {marker}; exit 3; fi", max_retries=2
    )
    run = client.wait(run_id)

    assert run["state"]["result_state"] == "SUCCESS"
    assert [task["attempt_number"] for task in run["tasks"]] == [0, 1]
    assert [task["state"]["result_state"] for task in run["tasks"]] == ["FAILED", "SUCCESS"]
    assert client.logs(run_id) == ["second"]
    assert client.logs(run_id, **{"ref.attempt_number": 0})[0].startswith(
        "ERROR: Script failed with exit code 3"
    )
    outputs = [client.get("/api/2.2/jobs/runs/get-output", run_id=t["run_id"]).json for t in run["tasks"]]
    ids = [output["ai_runtime_task_output"]["mlflow_run_id"] for output in outputs]
    assert len(set(ids)) == 2


def test_timeout_bounds_each_attempt_and_kills_the_group(client: Client) -> None:
    """An attempt that exceeds ``timeout_seconds`` ends as TIMEDOUT, is tried again, and leaves no process."""
    run_id = client.submit("echo $$; sleep 60 & sleep 60", max_retries=1, timeout_seconds=1)
    run = client.wait(run_id)

    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("TERMINATED", "TIMEDOUT")
    assert [task["state"]["result_state"] for task in run["tasks"]] == ["TIMEDOUT", "TIMEDOUT"]
    for number in (0, 1):
        assert _gone(int(client.logs(run_id, **{"ref.attempt_number": number})[0]))


def test_cancel_kills_what_left_the_group_too(client: Client) -> None:
    """Cancelling ends the run as CANCELED and every process of it, also one in a session of its own."""
    run_id = client.submit("echo $$; setsid sleep 60 & echo $!; sleep 60")
    client.wait(run_id, lambda _: len(client.logs(run_id)) == 2)
    pids = [int(line) for line in client.logs(run_id)]
    assert all(map(_alive, pids))

    assert client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id}).status == 200

    run = client.wait(run_id)
    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("TERMINATED", "CANCELED")
    assert run["status"]["termination_details"]["code"] == "USER_CANCELED"
    assert all(map(_gone, pids))
    assert client.send("POST", f"/api/2.2/jobs/runs/cancel?run_id={run_id}").status == 200


def test_one_failing_node_ends_the_others(client: Client) -> None:
    """When a node fails the attempt fails at once; the other nodes are killed."""
    started = time.monotonic()
    run, _ = client.execute('if [ "$NODE_RANK" = 1 ]; then exit 1; fi; sleep 60', count=2)

    assert run["state"]["result_state"] == "FAILED"
    assert time.monotonic() - started < 20


def test_two_nodes_meet(client: Client) -> None:
    """Nodes reach each other at MASTER_ADDR and MASTER_PORT: a sum over a socket."""
    code = """
import os, socket, time
rank, address = int(os.environ["NODE_RANK"]), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(address) as server:
        peer, _ = server.accept()
        print("sum", int(peer.recv(10)) + 1)
else:
    for _ in range(500):
        try:
            peer = socket.create_connection(address)
            break
        except OSError:
            time.sleep(0.02)
    peer.send(b"41")
"""
    _, lines = client.execute(f"python3 - <<'END'\n{code}\nEND", count=2)

    assert lines == ["sum 42"]


def test_containers_run_their_own_command_on_their_ranks(client: Client) -> None:
    """Each container's command runs on its ranks only, with the files of its own directory."""
    containers = []
    for name, ranks in (("serve", [0]), ("train", [1, 2])):
        path = f"{HOME}/demo/containers/{name}"
        client.put_file(f"{path}/command.sh", f'echo "{name} $NODE_RANK $WHO"')
        client.put_file(f"{path}/env_vars.json", f'[{{"name": "WHO", "value": "I am {name}"}}]')
        containers.append({"name": name, "ranks": ranks, "command_path": f"{path}/command.sh"})
    body = client.submit_body()
    compute = {"accelerator_type": "GPU_1xA10", "accelerator_count": 3}
    body["tasks"][0]["ai_runtime_task"]["deployments"] = [{"compute": compute, "containers": containers}]

    run_id = client.send("POST", "/api/2.2/jobs/runs/submit", body).json["run_id"]
    client.wait(run_id)

    lines = [client.logs(run_id, node=node) for node in range(3)]
    assert lines == [["serve 0 I am serve"], ["train 1 I am train"], ["train 2 I am train"]]


def test_numbers_may_come_as_text(client: Client) -> None:
    """A submission whose numbers are all strings, as the stock Databricks operator sends them, is the same run."""
    run_id = client.submit(count="1")
    assert client.wait(run_id)["state"]["result_state"] == "SUCCESS"


def test_same_token_same_run(client: Client) -> None:
    """A token that was used gives its run again, whatever else is sent."""
    first = client.submit("true", idempotency_token="t")
    second = client.submit("false", name="other", idempotency_token="t")

    assert first == second
    assert client.air.runs_created == 1


def test_the_server_keeps_its_state(tmp_path: Path) -> None:
    """Stopped and started again, the server has the same address, token, files, runs and logs."""
    with LocalAirRuntime(tmp_path) as air:
        client = Client(air)
        run_id = client.submit("echo kept", idempotency_token="t")
        before = (air.url, air.token, client.wait(run_id), client.logs(run_id))

    with LocalAirRuntime(tmp_path) as air:
        client = Client(air)
        assert before == (air.url, air.token, client.run(run_id), client.logs(run_id))
        assert run_id == client.submit("true", idempotency_token="t")


def test_a_run_alive_at_the_stop_goes_on_with_its_next_attempt(tmp_path: Path) -> None:
    """Stopping kills the processes; the attempt is FAILED at the next start and the run's retries apply."""
    with LocalAirRuntime(tmp_path) as air:
        client = Client(air)
        run_id = client.submit('echo $$; if [ "$(ls ..)" ]; then sleep 60; fi', max_retries=1)
        client.wait(run_id, lambda _: len(client.logs(run_id)) == 1)
        pid = int(client.logs(run_id)[0])
        waiting = client.submit(name="waits")
    assert _gone(pid)

    with LocalAirRuntime(tmp_path) as air:
        client = Client(air)
        run = client.wait(run_id, lambda run: len(run["tasks"]) == 2)
        assert run["tasks"][0]["state"]["result_state"] == "FAILED"
        assert "stopped while" in run["tasks"][0]["state"]["state_message"]
        client.wait(waiting)
        client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id})
        assert client.wait(run_id)["state"]["result_state"] == "CANCELED"


def test_nothing_is_left_after_the_stop(tmp_path: Path) -> None:
    """Threads and descriptors are back where they were after a server with runs has stopped."""
    before = len(os.listdir("/proc/self/fd"))
    with LocalAirRuntime(tmp_path) as air:
        client = Client(air)
        for _ in range(3):
            client.submit("sleep 60")
        client.execute("true", name="other")
        assert air.stats()["processes"] == 3

    assert before == len(os.listdir("/proc/self/fd"))
