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
"""Time and life: what a run, its attempts and its files look like at every moment."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client, ServerProcess


def _records(client: Client, run_id: int) -> list[dict[str, object]]:
    path = f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs"
    found: list[dict[str, object]] = client.get(path).json["log_records"]
    return found


def test_lines_have_the_time_of_their_run() -> None:
    """On a clock that was moved, no line is older than the attempt that printed it."""
    with LocalAirRuntime(clock="virtual") as air:
        client = Client(air)
        air.advance(36_000)
        air.on("demo").succeeds(logs=["scripted"])
        run = client.wait(client.submit())

        (record,) = _records(client, run["run_id"])

    assert int(str(record["time_unix_nano"])) >= run["start_time"] * 1_000_000


def test_a_hold_survives_the_server(tmp_path: Path, servers: list[ServerProcess]) -> None:
    """What had passed of a wait before the server died does not begin anew, and steps that are over stay over."""
    first = ServerProcess(tmp_path)
    servers.append(first)
    first.air.on("demo").waits(0.2, state="QUEUED").waits(6).succeeds()
    run_id = first.client.submit()
    pending = first.client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "PENDING")
    began = time.time()
    time.sleep(2)

    first.kill()
    second = ServerProcess(tmp_path)
    servers.append(second)

    up = time.time()
    run = second.client.wait(run_id)
    # A wait that began anew would last for six seconds from when this server came up.
    assert run["end_time"] / 1000 < max(began + 8, up + 2)
    assert run["start_time"] == pending["start_time"]


def test_a_cancel_between_two_attempts_leaves_the_first(air: LocalAirRuntime, client: Client) -> None:
    """The attempt that failed stays failed, with its message and its end; the run is what was cancelled."""
    air.on("demo").retries_after(600).fails(message="GPU fell off").succeeds()
    run_id = client.submit(max_retries=1)
    waiting = client.wait(
        run_id, lambda run: run["tasks"][0]["state"]["life_cycle_state"] == "WAITING_FOR_RETRY"
    )

    client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id})
    run = client.wait(run_id)

    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("TERMINATED", "CANCELED")
    assert run["status"]["termination_details"]["code"] == "USER_CANCELED"
    (task,) = run["tasks"]
    assert (task["state"]["result_state"], task["state"]["state_message"]) == ("FAILED", "GPU fell off")
    assert task["end_time"] == waiting["tasks"][0]["end_time"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("", "CLIENT_ERROR"),
        ("CLOUD_FAILURE", "CLOUD_FAILURE"),
        ("INTERNAL_ERROR", "INTERNAL_ERROR"),
        ("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR"),
    ],
)
def test_types_match_codes(air: LocalAirRuntime, client: Client, code: str, kind: str) -> None:
    """The type of a termination is the one that the Jobs API documents for its code."""
    air.on("demo").fails(code=code)

    run = client.wait(client.submit())

    assert run["status"]["termination_details"]["type"] == kind
    assert run["tasks"][0]["status"]["termination_details"]["type"] == kind


def test_no_start_before_the_start(air: LocalAirRuntime, client: Client) -> None:
    """An attempt that waits has no start time; the run has one, which is when it was submitted."""
    air.on("demo").waits().succeeds()
    run_id = client.submit()
    waiting = client.run(run_id)
    assert "start_time" not in waiting["tasks"][0]
    assert waiting["start_time"]

    air.release(run_id)

    assert client.wait(run_id)["tasks"][0]["start_time"]


def test_a_file_is_never_gone(air: LocalAirRuntime, client: Client) -> None:
    """Who reads a file while it is replaced gets the old content or the new one."""
    versions = [b"a" * 1000, b"b" * 1000]
    client.put_file(f"{HOME}/f.bin", versions[0])
    seen: list[tuple[int, bytes]] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            answer = client.get("/api/2.0/workspace/export", path=f"{HOME}/f.bin", direct_download="true")
            seen.append((answer.status, answer.body))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(60):
        client.put_file(f"{HOME}/f.bin", versions[number % 2])
    over.set()
    for reader in readers:
        reader.join()

    assert {status for status, _ in seen} == {200}
    assert {body for _, body in seen} <= set(versions)


def test_the_old_version_goes_last(air: LocalAirRuntime, client: Client) -> None:
    """A server that dies while it replaces a file finds a version of it, old or new, when it starts again."""
    client.put_file(f"{HOME}/f.bin", b"old")
    store, tree = air.workspace.store, air.workspace.files.workspace
    blob = tree.blob(tree.get(f"{HOME}/f.bin"))

    def die(*_: object) -> None:
        assert blob.read_bytes() == b"old"
        raise RuntimeError("died here")

    put, store.put = store.put, die  # type: ignore[method-assign,assignment]
    try:
        assert client.put_file(f"{HOME}/f.bin", b"new").status == 500
    finally:
        store.put = put  # type: ignore[method-assign]

    assert blob.read_bytes() == b"old"


@pytest.mark.parametrize("value", [None, True, ["1"], "a\nb", {"a": 1}])
def test_headers_of_a_fault_are_checked(air: LocalAirRuntime, client: Client, value: object) -> None:
    """A header that cannot be sent is refused when the fault is set."""
    with pytest.raises(ValueError, match="fault field 'headers': 'Retry-After'"):
        air.add_fault("*/Me", headers={"Retry-After": value})


def test_a_number_is_a_header(air: LocalAirRuntime, client: Client) -> None:
    """``Retry-After: 1`` is a number in YAML; it is sent as text."""
    air.add_fault("*/Me", status=429, headers={"Retry-After": 1})

    answer = client.get("/api/2.0/preview/scim/v2/Me")

    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


@pytest.mark.parametrize(("count", "words"), [(1, "WHO has 200,004 bytes"), (40, "characters together")])
def test_variables_that_are_too_large(client: Client, count: int, words: str) -> None:
    """Variables that no process can be started with are the user's mistake, and named as such."""
    length = 200_000 if count == 1 else 100_000
    variables = [
        {"name": "WHO" if count == 1 else f"WHO{number}", "value": "x" * length} for number in range(count)
    ]
    client.put_file(f"{HOME}/demo/env_vars.json", json.dumps(variables))

    run, lines = client.execute("true")

    assert run["state"]["result_state"] == "FAILED"
    assert run["status"]["termination_details"]["code"] == "INVALID_RUN_CONFIGURATION"
    assert words in run["tasks"][0]["state"]["state_message"]
    assert any(words in line for line in lines)
