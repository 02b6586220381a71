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
"""The published examples of ``get``: a run in full, and every way in which it cannot be told."""

from __future__ import annotations

import json
import re

import pytest

from tests.story.commands.conftest import Commands

pytestmark = pytest.mark.plain

HOST_AND_ID = r"{url}/jobs/runs/{number}\?o=\d+"


def test_the_envelope(commands: Commands) -> None:
    """``get -o json`` has version, time and data: the state, times, links and the configuration."""
    number = commands.ended()
    envelope = commands.run("get", "run", number, "-o", "json").envelope
    data = envelope["data"]
    assert envelope["v"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", envelope["ts"])
    assert (data["run_id"], data["status"], data["attempt_number"]) == (number, "SUCCESS", 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", data["started_at"])
    assert isinstance(data["duration_seconds"], int)
    url = commands.air.url
    assert re.fullmatch(HOST_AND_ID.format(url=url, number=number), data["dashboard_url"])
    assert re.fullmatch(
        rf"{url}/ml/experiments/\d+/runs/[0-9a-f]{{32}}/artifacts/logs/node_0\?o=\d+", data["mlflow_url"]
    )
    assert data["termination_reason"] is None
    assert "experiment_name" in data["training_config"]


def test_the_text_view(commands: Commands) -> None:
    """The page comes first, then the configuration with its texts as blocks, then the fields in their order."""
    number = commands.ended("echo one\necho two")
    out = commands.run("get", number).out
    assert re.match(HOST_AND_ID.format(url=commands.air.url, number=number) + "\n\n", out)
    assert "  command: |\n      echo one\n      echo two\n" in out or "    echo one\n" in out
    fields = re.findall(
        r"^(Run ID|Status|Submitted|Retries|Duration|Experiment|MLflow Run|User|Accelerators) ",
        out,
        re.MULTILINE,
    )
    assert fields == [
        "Run ID", "Status", "Submitted", "Retries", "Duration", "Experiment", "MLflow Run", "User", "Accelerators",
    ]  # fmt: skip
    assert re.search(r"^Submitted +\d{4}-\d\d-\d\d \d\d:\d\d UTC", out, re.MULTILINE)
    assert re.search(r"^Experiment +story\b", out, re.MULTILINE)
    assert re.search(r"^Accelerators +1x H100", out, re.MULTILINE)


def test_a_retried_run_reports_its_latest_attempt(commands: Commands) -> None:
    """State, times and link are those of the latest attempt; each attempt stands below with its own."""
    number = commands.ended('test "$(ls $HOME | wc -l)" = x', max_retries=1)
    data = commands.run("get", number, "-o", "json").data
    first, last = data["attempts"]
    assert data["attempt_number"] == 1
    assert data["started_at"] == last["started_at"] != first["started_at"]
    assert data["mlflow_url"] == last["mlflow_url"] != first["mlflow_url"]
    assert data["status"] == "FAILED"
    assert data["termination_reason"].startswith("Task story failed with message: ")
    assert "Termination reason: Task story failed" in commands.run("get", number).out


def test_a_run_that_waits(commands: Commands) -> None:
    """A run without accelerators has no start of an attempt and no MLflow run, and says what it waits for."""
    commands.air.on("story").waits(3600)
    number = commands.submit()
    data = commands.run("get", number, "-o", "json").data
    assert data["mlflow_url"] is None
    assert re.search(r"^MLflow Run +N/A", commands.run("get", number).out, re.MULTILINE)


def test_configuration_that_cannot_be_read_is_a_warning(commands: Commands) -> None:
    """A launch directory that is gone leaves the rest as it is; that is said on standard error."""
    number = commands.ended()
    commands.air.add_fault("*/workspace/export", times=-1, status=404, error_code="RESOURCE_DOES_NOT_EXIST")
    done = commands.run("get", number, "-o", "json")
    assert done.data["training_config"] is None
    assert "cannot be read" in done.err


def test_a_sweep(commands: Commands) -> None:
    """A for-each run shows how many of its iterations are done, and how they ended."""
    task = {
        "task_key": "sweep",
        "run_id": 7,
        "attempt_number": 0,
        "for_each_task": {
            "inputs": "[1, 2, 3]",
            "task": {
                "task_key": "iteration",
                "ai_runtime_task": {
                    "experiment": "/Users/you@example.com/lr",
                    "deployments": [{"compute": {"accelerator_type": "GPU_8xH100", "accelerator_count": 16}}],
                },
            },
            "stats": {
                "task_run_stats": {
                    "total_iterations": 8,
                    "active_iterations": 2,
                    "completed_iterations": 3,
                    "succeeded_iterations": 2,
                    "failed_iterations": 1,
                }
            },
        },
    }
    state = {"life_cycle_state": "RUNNING"}
    body = {"run_id": 5, "run_name": "lr", "state": state, "start_time": 1_000, "tasks": [task]}
    commands.air.add_fault("*/jobs/runs/get", times=-1, status=200, body=json.dumps(body))
    data = commands.run("get", "5", "-o", "json").data
    assert data["sweep"] == {
        "total": 8,
        "active": 2,
        "completed": 3,
        "failed": 1,
        "scheduled": 0,
        "succeeded": 2,
    }
    assert (data["accelerator_type"], data["num_accelerators"]) == ("GPU_8xH100", 16)
    assert "3 of 8 completed: 2 succeeded, 1 failed; 2 active" in commands.run("get", "5").out


@pytest.mark.parametrize("number", ["abc", "0", "-1", "1.5", "٣"])
def test_what_is_no_run_id(commands: Commands, number: str) -> None:
    """A run id that is none is wrong usage: exit code 2, an envelope, and nothing is asked."""
    error = commands.run("get", "-o", "json", "--", number, status=2).error
    assert (error["code"], error["kind"], error["retryable"]) == ("INVALID_ARGS", "PERMANENT", False)
    assert commands.air.requests() == []


def test_a_run_that_does_not_exist(commands: Commands) -> None:
    """A run that is not there has an error envelope, and a sentence without ``-o json``."""
    error = commands.run("get", "99", "-o", "json", status=1).error
    assert error == {
        "code": "NOT_FOUND",
        "kind": "NOT_FOUND",
        "message": "Run 99 does not exist.",
        "retryable": False,
    }
    assert commands.run("get", "99", status=1).err == "Error: Run 99 does not exist.\n"


def test_a_backend_that_refuses(commands: Commands) -> None:
    """A service that cannot answer is an error that may pass."""
    commands.air.add_fault(
        "*/jobs/runs/get", times=-1, status=501, error_code="NOT_IMPLEMENTED", headers={"Retry-After": "600"}
    )
    error = commands.run("get", "5", "-o", "json", status=1).error
    assert (error["code"], error["kind"], error["retryable"]) == ("INTERNAL_ERROR", "TRANSIENT", True)


@pytest.mark.parametrize(("token", "code"), [("dapi-wrong", "PERMISSION_DENIED")])
def test_a_refused_sign_in(commands: Commands, token: str, code: str) -> None:
    """A token that is refused is an error envelope, and the token is in no output."""
    done = commands.run("get", "5", "-o", "json", status=1, DATABRICKS_TOKEN=token)
    assert (done.error["code"], done.error["kind"]) == (code, "PERMANENT")
    assert token not in done.out + done.err
