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
"""What the workspace says of a configuration, and what a launch makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.launch.preflight import author_path
from airflow.providers.databricks_air.cli.parser import main
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.run.errors import ConfigError
from databricks_air_local import LocalAirRuntime
from tests.story.launch.conftest import Launcher

pytestmark = pytest.mark.plain

VALIDATE = "*/config:validate"
YAML = """\
experiment_name: demo
compute:
  accelerator_type: GPU_1xA10
  num_accelerators: 1
env_variables:
  FINE: "1"
  ODD: "2"
command: "true"
"""


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("experiment", "experiment_name"),
        ("task.experiment", "experiment_name"),
        ("deployments[0].compute.accelerator_count", "compute.num_accelerators"),
        ("task.deployments[0].compute.accelerator_count", "compute.num_accelerators"),
        ("deployments[0].compute.accelerator_type", "compute.accelerator_type"),
        ("deployments[0].compute.provisioned_capacity_id", "compute.pool_id"),
        ("deployments[0].containers[1].command_path", "containers[1].command"),
        ("env_variables[NAME]", "env_variables.NAME"),
        ("run_options.env_variables[NAME]", "env_variables.NAME"),
        ("secrets[TOKEN]", "secrets.TOKEN"),
        ("run_options.max_retries", "max_retries"),
        ("max_retries", "max_retries"),
        ("mlflow_run", "mlflow_run_name"),
        ("environment.environment_version", "environment.version"),
        ("environment.dependencies[2]", "environment.dependencies[2]"),
        ("something.new", "something.new"),
    ],
)
def test_the_author_reads_the_names_of_the_yaml(said: str, field: str) -> None:
    """The server's path, with and without the part of its request, becomes the author's field."""
    assert author_path(said) == field


def test_a_mistake_has_the_file_and_the_line(
    launcher: Launcher, tmp_path: Path, created: Callable[[], int]
) -> None:
    """What the workspace finds wrong is told like our own findings: file, line, field, rule, remedy."""
    file = tmp_path / "train.yaml"
    file.write_text(YAML)
    errors = [
        {
            "path": "env_variables[ODD]",
            "message": "has a character that is not allowed.",
            "code": "DISALLOWED_CHARACTERS",
        },
        {
            "path": "deployments[0].compute.accelerator_count",
            "message": "1 is no multiple",
            "code": "COUNT_NOT_MULTIPLE",
        },
    ]
    launcher.air.call("POST", "/local/config-errors", {"errors": errors})
    try:
        with pytest.raises(ConfigError) as caught:
            launcher.launch(load_run_config(file))
    finally:
        launcher.air.call("POST", "/local/config-errors", {"errors": []})

    told = [str(error) for error in caught.value.errors]
    assert told[0] == (
        f"{file}:7: env_variables.ODD: has a character that is not allowed (said by the workspace, "
        "DISALLOWED_CHARACTERS). Write it without the characters that are not allowed"
    )
    assert told[1].startswith(f"{file}:4: compute.num_accelerators: 1 is no multiple (said by the workspace")
    assert created() == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"then": "status", "status": 409, "error_code": "ABORTED", "message": "in the way"},
        {"then": "status", "status": 401, "message": "who are you"},
        {"then": "status", "status": 403, "error_code": "PERMISSION_DENIED", "message": "not you"},
        {"then": "status", "status": 400, "error_code": "INVALID_PARAMETER_VALUE", "message": "no"},
    ],
    ids=lambda fault: str(fault["status"]),
)
def test_a_refusal_blocks(launcher: Launcher, created: Callable[[], int], fault: dict[str, Any]) -> None:
    """A conflict, refused credentials and a refused request end the launch before anything is sent."""
    launcher.air.add_fault(VALIDATE, **fault)
    with pytest.raises(ApiError, match=fault["message"]):
        launcher.launch()
    assert created() == 0


UNAVAILABLE: list[dict[str, Any]] = [
    {"then": "garbage"},
    {"then": "reset"},
    {"then": "status", "status": 404},
    {"then": "status", "status": 408},
    {"then": "status", "status": 429},
    {"then": "status", "status": 501},
    {"then": "status", "status": 503},
    {"then": "status", "status": 403, "error_code": "FEATURE_DISABLED"},
    {"then": "status", "status": 200, "body": '{"errors": "many"}'},
    {"then": "status", "status": 200, "body": "[]"},
]


@pytest.mark.parametrize("fault", UNAVAILABLE, ids=str)
def test_a_workspace_that_cannot_check_never_blocks(
    launcher: Launcher, created: Callable[[], int], caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """No answer, and one that cannot be read, is a warning; the launch goes on."""
    launcher.air.add_fault(VALIDATE, **fault)
    launcher.launch()
    assert created() == 1
    assert "did not check the configuration" in caplog.text


@pytest.fixture
def signed_in(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> LocalAirRuntime:
    """The workspace of the commands."""
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", launcher.air.connection_uri)
    return launcher.air


def test_validate_online_asks_the_workspace(
    signed_in: LocalAirRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``validate --online`` adds what the workspace finds, and creates nothing."""
    file = tmp_path / "train.yaml"
    file.write_text(YAML)
    before = signed_in.runs_created
    assert main(["validate", "--online", str(file)]) == 0
    errors = [{"path": "experiment", "message": "is taken", "code": "TAKEN"}]
    signed_in.call("POST", "/local/config-errors", {"errors": errors})
    try:
        capsys.readouterr()
        assert main(["validate", "--online", "--output", "json", str(file)]) == 1
    finally:
        signed_in.call("POST", "/local/config-errors", {"errors": []})
    (report,) = json.loads(capsys.readouterr().out)["data"]["files"]
    assert not report["valid"]
    assert report["errors"][0]["path"] == "experiment_name"
    assert report["errors"][0]["line"] == 1
    assert signed_in.runs_created == before


def test_validate_online_says_when_nobody_checked(
    signed_in: LocalAirRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the workspace cannot check, that is said, and the exit code is not that of a checked file."""
    file = tmp_path / "train.yaml"
    file.write_text(YAML)
    signed_in.add_fault(VALIDATE, status=503, message="back on Monday")
    assert main(["validate", "--online", str(file)]) == 1
    assert "VALIDATION_UNAVAILABLE" in capsys.readouterr().err


def image_requests(air: LocalAirRuntime) -> list[str]:
    """Return what was asked of images, in order."""
    paths = [(request.method, request.path.partition("?")[0]) for request in air.requests()]
    return [f"{method} {path.rpartition('/')[2]}" for method, path in paths if "/images" in path]


def test_a_docker_image_is_looked_up_and_registered_once(launcher: Launcher) -> None:
    """An image that the workspace does not know is registered before the run, and found the next time."""
    config = launcher.config(environment={"docker_image": {"url": "docker.io/me/train:1"}})
    launcher.launch(config)
    assert image_requests(launcher.air) == ["GET images:get", "POST images"]
    launcher.air.clear_requests()
    launcher.launch(config)
    assert image_requests(launcher.air) == ["GET images:get"]


def test_the_latest_image_is_registered_again_with_its_secret(launcher: Launcher) -> None:
    """``tag_policy: latest`` looks at the tag anew, with the names of the secret and not its value."""
    image = {
        "url": "docker.io/me/train:2",
        "tag_policy": "latest",
        "credentials_scope": "registry",
        "credentials_key": "pull",
    }
    launcher.launch(launcher.config(environment={"docker_image": image}))
    (request,) = [request for request in launcher.air.requests() if request.path.endswith("/images")]
    assert request.json() == {
        "docker_image_url": "docker.io/me/train:2",
        "credentials_scope": "registry",
        "credentials_key": "pull",
    }
