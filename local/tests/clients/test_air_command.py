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
"""The command ``air`` of databricks-air, unmodified, against the local AI Runtime: network, once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from judge import Judge
from wire import Client

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_air_run_and_get(judging: Judge, client: Client) -> None:
    """``air run`` submits, ``air get run`` shows it."""
    data = judging.data("run", "train.yaml")
    assert ("PENDING", f"{client.air.url}/jobs/runs/{data['run_id']}") == (
        data["status"],
        data["dashboard_url"].partition("?")[0],
    )
    client.wait(int(data["run_id"]))

    shown = judging.data("get", "run", data["run_id"])

    assert (shown["status"], shown["attempt_number"]) == ("SUCCESS", 0)
    assert re.fullmatch(
        rf"{client.air.url}/ml/experiments/\d+/runs/[0-9a-f]{{32}}/artifacts/logs/node_0\?o=\d+",
        shown["mlflow_url"],
    )
    text = judging.air("get", "run", data["run_id"])
    assert "experiment_name: judge" in text
    assert re.search(r"Accelerators\s+\S\s+2x H100", text)


def test_air_run_watch(judging: Judge, client: Client) -> None:
    """``air run --watch`` streams the lines of node 0 and ends with the run."""
    lines = judging.air("run", "train.yaml", "--watch").splitlines()

    assert lines[-3:] == ["node 0 of 2 for judge", "lr: 0.1", "hello from the snapshot"]
    assert all(run["state"]["result_state"] == "SUCCESS" for run in client.air.runs())


def test_air_run_watch_of_a_failure(judging: Judge) -> None:
    """A run that fails after its retries ends the command with a status that is not 0."""
    printed = judging.air(
        "--json", "run", "train.yaml", "--watch", "--override", "command=echo before; exit 3", status=1
    )
    events = [json.loads(line) for line in printed.splitlines()]

    assert {"SUBMITTED", "STATUS", "LOG", "ALERT"} <= {event.get("type") for event in events}
    assert events[-1]["data"]["status"] == "FAILED"


def test_air_run_twice_with_one_key(judging: Judge, client: Client) -> None:
    """The same idempotency key gives the same run."""
    first, second = (judging.data("run", "train.yaml", "--idempotency-key", "k") for _ in range(2))

    assert first["run_id"] == second["run_id"]
    assert client.air.runs_created == 1


def test_air_list(judging: Judge, client: Client) -> None:
    """``air list runs`` shows the active runs."""
    client.air.on("judge").hangs()
    run_id = judging.data("run", "train.yaml")["run_id"]

    runs = judging.data("list", "runs")["runs"]

    assert [run_id] == [run["run_id"] for run in runs]
    assert run_id in judging.air("list", "runs")


def test_air_logs(judging: Judge, client: Client) -> None:
    """``air logs`` of a node, of a retry and of the tail."""
    client.air.on("judge").fails(logs=["first attempt"]).executes()
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))
    own = ["lr: 0.1", "hello from the snapshot"]

    assert ["node 0 of 2 for judge", *own] == judging.air("logs", run_id).splitlines()
    assert ["node 1 of 2 for judge", *own] == judging.air("logs", run_id, "--node", "1").splitlines()
    assert own[-1:] == judging.air("logs", run_id, "--tail", "1").splitlines()
    failed = judging.air("logs", run_id, "--retry", "0", status=0).splitlines()
    assert (failed[0], len(failed)) == ("first attempt", 2)
    assert failed[1].startswith("ERROR: Script failed with exit code 1 after ")


def test_air_logs_download(judging: Judge, client: Client, tmp_path: Path) -> None:
    """``air logs --download-to`` writes one file per node, from the chunks in MLflow."""
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))

    judging.air("logs", run_id, "--download-to", "logs")

    notice = "No co-located requirements.yaml at"
    for node in (0, 1):
        lines = (tmp_path / "logs" / "logs" / f"node_{node}.log").read_text().splitlines()
        own = [line for line in lines if not line.startswith(notice)]
        assert own == [f"node {node} of 2 for judge", "lr: 0.1", "hello from the snapshot"]


def test_air_cancel(judging: Judge, client: Client) -> None:
    """``air cancel`` ends one run, ``air cancel --all`` all that are left."""
    client.air.on("judge").hangs()
    runs = [judging.data("run", "train.yaml")["run_id"] for _ in range(3)]

    judging.air("cancel", runs[0])
    assert client.wait(int(runs[0]))["state"]["result_state"] == "CANCELED"
    assert [int(run) for run in runs[1:]] == client.air.runs_alive
    judging.air("cancel", "--all", "--yes")

    assert [client.wait(int(run))["state"]["result_state"] for run in runs] == ["CANCELED"] * 3


def test_air_without_the_log_endpoint(judging: Judge, client: Client) -> None:
    """When the log endpoint is off, the client reads the chunks in MLflow."""
    client.air.add_fault("*/by-run-id/*/logs", status=403, error_code="FEATURE_DISABLED", times=-1)
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))

    assert "hello from the snapshot" in judging.air("logs", run_id)
