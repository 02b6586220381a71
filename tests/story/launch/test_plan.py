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
"""Plans: what a launch would do, with nothing but reads."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN, Plan, plan
from airflow.providers.databricks_air.cli.parser import main
from airflow.providers.databricks_air.operators.air import AirRunOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from airflow.providers.databricks_air.run import RunConfig
    from tests.story.launch.conftest import Launcher

CONNECTION = "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT"


def planned(launcher: Launcher, config: RunConfig, token: str) -> Plan:
    """Return the plan of a launch, and check that it only reads."""
    launcher.air.clear_requests()
    found = plan(launcher.client, config, token=token)
    assert {request.method for request in launcher.air.requests()} <= {"GET", "HEAD"}
    return found


def sent(launcher: Launcher) -> set[str]:
    """Return the paths of the files that were uploaded."""
    prefix = "/api/2.0/workspace-files/import-file"
    return {request.path.removeprefix(prefix) for request in launcher.air.requests(path=f"{prefix}/*")}


def test_plan_is_what_the_launch_does(launcher: Launcher, created: Callable[[], int]) -> None:
    """What a plan calls new is what the launch sends, with the same body; then everything is reused."""
    config = launcher.config()
    before = planned(launcher, config, "planned")
    assert created() == 0
    assert {file.state for file in before.files} == {"new"}
    launcher.air.clear_requests()
    launcher.launch(config, token="planned")
    assert {file.path for file in before.files} == sent(launcher)
    assert launcher.air.runs()[-1]["body"] == before.body
    after = planned(launcher, config, "planned")
    assert [(file.path, file.size, "reused") for file in before.files] == [
        (file.path, file.size, file.state) for file in after.files
    ]


def test_command_line(
    launcher: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``plan FILE`` prints files and body, as text and as JSON."""
    monkeypatch.setenv(CONNECTION, launcher.air.connection_uri)
    file = tmp_path / "train.yaml"
    file.write_text(launcher.config().to_yaml())
    assert main(["plan", str(file)]) == 0
    text = capsys.readouterr().out
    assert "Code: working tree of code" in text
    assert "  new           4 B  /Workspace/Users/" in text
    assert main(["plan", str(file), "--output", "json", "--override", "max_retries=0"]) == 0
    document = json.loads(capsys.readouterr().out)["data"]
    assert document["body"]["tasks"][0]["max_retries"] == 0
    assert document["body"]["idempotency_token"] == EXAMPLE_TOKEN


def test_command_line_with_a_mistake(
    launcher: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake is printed, without a traceback."""
    monkeypatch.setenv(CONNECTION, launcher.air.connection_uri)
    file = tmp_path / "train.yaml"
    file.write_text(launcher.config().to_yaml())
    assert main(["plan", str(file), "--override", "code_source.root_path=nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_command_line_without_a_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a connection, or without an answer, one line says so; nobody waits for minutes."""
    file = tmp_path / "train.yaml"
    file.write_text(
        "experiment_name: demo\ncommand: x\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    )
    assert main(["plan", "--connection", "nowhere", str(file)]) == 1
    assert (
        "Airflow has no connection 'nowhere'. Make it, or set AIRFLOW_CONN_NOWHERE" in capsys.readouterr().err
    )

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv(CONNECTION, json.dumps({"conn_type": "databricks_air", "host": host, "password": "t"}))
    started = time.monotonic()
    assert main(["plan", str(file)]) == 1
    assert time.monotonic() - started < 60
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"no answer from {host} (" in last
    assert "Connection refused)" in last
    assert "Max retries" not in last


def test_dry_run_of_the_operator(
    launcher: Launcher,
    created: Callable[[], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``dry_run`` of the operator prints the plan and changes nothing."""
    monkeypatch.setenv(CONNECTION, launcher.air.connection_uri)
    operator = AirRunOperator(task_id="train", config=launcher.config())
    operator.dry_run()
    assert '"run_name": "demo"' in capsys.readouterr().out
    assert created() == 0
    assert {request.method for request in launcher.air.requests()} == {"GET"}
