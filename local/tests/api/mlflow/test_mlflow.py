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
"""MLflow: what attempts log, and the log chunks among their artifacts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from databricks_air_local import LocalAirRuntime
from wire import Client

API = "/api/2.0/mlflow"


def _ids(client: Client, run: dict[str, Any], attempt: int = -1) -> tuple[str, str]:
    task = run["tasks"][attempt]["run_id"]
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=task).json["ai_runtime_task_output"]
    return output["mlflow_experiment_id"], output["mlflow_run_id"]


def _list(client: Client, run_id: str, path: str = "") -> list[str]:
    files = client.get(f"{API}/artifacts/list", run_id=run_id, path=path).json["files"]
    return [f"{item['path']}/" if item["is_dir"] else item["path"] for item in files]


def _signed(client: Client, run_id: str, path: str) -> tuple[int, bytes]:
    infos = client.get(f"{API}/artifacts/credentials-for-read", run_id=run_id, path=path).json
    url = infos["credential_infos"][0]["signed_uri"]
    answer = client.send("GET", urlsplit(url).path, Authorization="")
    return answer.status, answer.body


def test_a_command_logs_and_others_read(client: Client) -> None:
    """A command reaches the server at MLFLOW_TRACKING_URI; what it logged can be read back."""
    code = """
import json, os, urllib.request
for step in range(3):
    point = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": step / 10, "step": step}
    urllib.request.urlopen(urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric",
        json.dumps(point).encode(), {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}))
"""
    run, lines = client.execute(f"python3 - <<'END'\n{code}\nEND", air={"mlflow_run": "my-run"})

    assert run["state"]["result_state"] == "SUCCESS", lines
    experiment_id, run_id = _ids(client, run)
    points = client.get(f"{API}/metrics/get-history", run_id=run_id, metric_key="loss").json["metrics"]
    assert [(point["step"], point["value"]) for point in points] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    shown = client.get(f"{API}/runs/get", run_id=run_id).json["run"]
    assert [(metric["key"], metric["value"]) for metric in shown["data"]["metrics"]] == [("loss", 0.2)]
    assert (shown["info"]["run_name"], shown["info"]["status"]) == ("my-run", "FINISHED")
    assert shown["info"]["artifact_uri"].startswith(f"dbfs:/databricks/mlflow-tracking/{experiment_id}/")
    named = client.get(f"{API}/experiments/get-by-name", experiment_name="/Users/you@example.com/demo").json
    assert experiment_id == named["experiment"]["experiment_id"]


@pytest.mark.parametrize(("layout", "directory"), [("new", "logs/attempt_1/node_0"), ("old", "logs/node_0")])
def test_log_chunks_in_both_layouts(layout: str, directory: str) -> None:
    """The lines of every attempt lie as chunks in its own MLflow run."""
    with LocalAirRuntime(artifact_layout=layout) as air:
        client = Client(air)
        air.on("demo").fails(logs=["one"]).succeeds(logs=["two", "three"])
        run = client.wait(client.submit(max_retries=1))
        _, run_id = _ids(client, run)

        parent = directory.rpartition("/")[0]
        assert f"{directory}/" in _list(client, run_id, parent)
        assert [f"{directory}/logs-0.chunk.txt"] == _list(client, run_id, directory)
        assert _signed(client, run_id, f"{directory}/logs-0.chunk.txt") == (200, b"two\nthree\n")
        assert _signed(client, run_id, f"{directory}/logs-1.chunk.txt")[0] == 404
        first = _ids(client, run, 0)[1]
        chunk = f"{directory.replace('attempt_1', 'attempt_0')}/logs-0.chunk.txt"
        assert b"one\n" in _signed(client, first, chunk)[1]


def test_chunks_roll_at_four_mebibytes(client: Client) -> None:
    """A long log is cut between lines."""
    run, lines = client.execute("head -c 6000000 /dev/zero | tr '\\0' x | fold -w 999; echo")
    _, run_id = _ids(client, run)

    names = _list(client, run_id, "logs/attempt_0/node_0")

    assert names == ["logs/attempt_0/node_0/logs-0.chunk.txt", "logs/attempt_0/node_0/logs-1.chunk.txt"]
    texts = [_signed(client, run_id, name)[1].decode() for name in names]
    assert "\n".join(lines) == "".join(texts).removesuffix("\n")
    assert 4 * 1024**2 <= len(texts[0]) < 4 * 1024**2 + 2000


def test_artifacts_on_a_volume(client: Client) -> None:
    """An experiment on a volume has its chunks there, and no credentials are given for it."""
    client.air.on("demo").succeeds(logs=["on a volume"])
    location = "dbfs:/Volumes/main/default/data/artifacts"
    run = client.wait(client.submit(air={"mlflow_artifact_location": location}))
    _, run_id = _ids(client, run)

    uri = client.get(f"{API}/runs/get", run_id=run_id).json["run"]["info"]["artifact_uri"]
    chunk = client.send(
        "GET", f"/api/2.0/fs/files{uri.removeprefix('dbfs:')}/logs/attempt_0/node_0/logs-0.chunk.txt"
    )
    refused = client.get(f"{API}/artifacts/credentials-for-read", run_id=run_id, path="logs")

    assert chunk.body == b"on a volume\n"
    assert (refused.status, refused.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def _wait_for(read: Callable[[], bytes], expected: bytes) -> None:
    deadline = time.monotonic() + 20
    while read() != expected:
        assert time.monotonic() < deadline, read()
        time.sleep(0.05)


@pytest.mark.parametrize("location", ["", "dbfs:/Volumes/main/default/data/artifacts"])
def test_chunks_grow_while_the_run_goes(client: Client, location: str) -> None:
    """Chunks can be read before the attempt ends; a line that is late comes last and changes no other."""
    client.air.spoil_logs(late=3600, late_every=2, duplicate_every=1)
    client.air.on("demo").hangs(logs=["one", "two"])
    run_id = client.submit(air={"mlflow_artifact_location": location} if location else {})
    run = client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "RUNNING")
    _, mlflow_run = _ids(client, run)
    uri = client.get(f"{API}/runs/get", run_id=mlflow_run).json["run"]["info"]["artifact_uri"]
    chunk = "logs/attempt_0/node_0/logs-0.chunk.txt"

    def read() -> bytes:
        if not location:
            return _signed(client, mlflow_run, chunk)[1]
        return client.send("GET", f"/api/2.0/fs/files{uri.removeprefix('dbfs:')}/{chunk}").body

    _wait_for(read, b"one\ntwo\n")
    client.air.log(run_id, "three", at=1.0)
    _wait_for(read, b"one\ntwo\nthree\n")
    client.air.release(run_id)
    client.wait(run_id)
    assert read() == b"one\ntwo\nthree\n"


def test_a_place_that_cannot_hold_chunks(client: Client) -> None:
    """A run whose log cannot be written where its experiment keeps artifacts ends as its command did."""
    volume = "/api/2.0/fs/{}/Volumes/main/default/data/v"
    client.send("PUT", volume.format("directories"))
    assert client.send("PUT", f"{volume.format('files')}/taken", b"a file").status == 204
    client.air.on("demo").succeeds(logs=["one"])

    run_id = client.submit(air={"mlflow_artifact_location": "dbfs:/Volumes/main/default/data/v/taken"})
    assert client.wait(run_id)["state"]["result_state"] == "SUCCESS"


def test_values_that_are_no_numbers(client: Client) -> None:
    """NaN and infinity are kept; other words are refused."""
    client.air.on("demo").succeeds()
    _, run_id = _ids(client, client.wait(client.submit()))
    log = f"{API}/runs/log-metric"

    for value in ("NaN", "Infinity", "-Infinity", 1):
        assert client.send("POST", log, {"run_id": run_id, "key": "m", "value": value}).status == 200
    assert client.send("POST", log, {"run_id": run_id, "key": "m", "value": "much"}).status == 400

    points = client.get(f"{API}/metrics/get-history", run_id=run_id, metric_key="m").json["metrics"]
    assert [point["value"] for point in points] == ["NaN", "Infinity", "-Infinity", 1.0]


def test_runs_outside_of_a_command(client: Client) -> None:
    """Experiments and runs can be made, changed and searched by any client."""
    made = client.send("POST", f"{API}/experiments/create", {"name": "/Users/me/e"}).json["experiment_id"]
    taken = client.send("POST", f"{API}/experiments/create", {"name": "/Users/me/e"})
    assert taken.json["error_code"] == "RESOURCE_ALREADY_EXISTS"
    run_id = client.send("POST", f"{API}/runs/create", {"experiment_id": made}).json["run"]["info"]["run_id"]
    batch = {"run_id": run_id, "params": [{"key": "lr", "value": "1"}], "tags": [{"key": "t", "value": "v"}]}
    assert client.send("POST", f"{API}/runs/log-batch", batch).status == 200
    changed = client.send("POST", f"{API}/runs/log-parameter", {"run_id": run_id, "key": "lr", "value": "2"})
    assert "Changing param values is not allowed" in changed.json["message"]
    client.send("POST", f"{API}/runs/update", {"run_id": run_id, "run_name": "renamed", "status": "FINISHED"})

    found = client.send("POST", f"{API}/runs/search", {"experiment_ids": [made]}).json["runs"]

    assert [(run["info"]["run_name"], run["info"]["status"]) for run in found] == [("renamed", "FINISHED")]
    assert client.get(f"{API}/runs/get", run_id="nope").status == 404
