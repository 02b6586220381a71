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
"""What a launch needs beside files and submit: usage policies, volumes and permissions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from airflow.providers.databricks_air.api.http.calls import get_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import AuthError
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.launch.permissions import grant_on_experiment
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.run.errors import ConfigError
from databricks_air_local import LocalAirRuntime

if TYPE_CHECKING:
    from pathlib import Path

    from tests.story.launch.conftest import Launcher

POLICY = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """A local AI Runtime with more usage policies than one page holds."""
    policies = {
        "Team A": POLICY,
        "Twin": "one",
        "twin ": "two",
        **{f"Team B{number:04}": f"b{number}" for number in range(1200)},
        "Team last": "last",
    }
    with LocalAirRuntime(
        tmp_path_factory.mktemp("air"), policies=policies, volumes=["main.default.code"]
    ) as runtime:
        runtime.on("*").succeeds()
        yield runtime


@pytest.mark.parametrize(("name", "key"), [("Team A", POLICY), (" team a ", POLICY), ("TEAM LAST", "last")])
def test_usage_policy_by_name(launcher: Launcher, name: str, key: str) -> None:
    """A usage policy is found by its exact name, whatever the case, on any page."""
    launcher.launch(launcher.config(usage_policy_name=name))
    assert launcher.air.runs()[-1]["body"]["budget_policy_id"] == key


def test_usage_policy_on_a_later_page(launcher: Launcher) -> None:
    """A policy whose name is part of a thousand others is found behind them."""
    launcher.launch(launcher.config(usage_policy_name="Team B1199"))
    assert launcher.air.runs()[-1]["body"]["budget_policy_id"] == "b1199"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Team", "no policy of this name. Similar names: Team A, Team B0000"),
        ("nobody", "Ask an administrator"),
        ("twin", "2 policies have this name. Use usage_policy_id: one, two"),
    ],
)
def test_usage_policy_that_is_not_one(
    launcher: Launcher, created: Callable[[], int], name: str, said: str
) -> None:
    """A name that no policy or several policies have is a mistake of that field, and nothing is uploaded."""
    with pytest.raises(ConfigError, match=f"usage_policy_name: '{name}'.*{said}"):
        launcher.launch(launcher.config(usage_policy_name=name))
    assert created() == 0
    assert not launcher.air.requests(path="*/import-file/*")


VOLUME = "/Volumes/main/default/code"


def test_code_in_a_volume(launcher: Launcher) -> None:
    """Code goes to the volume of the configuration, once."""
    config = launcher.config(code_source={"root_path": str(launcher.code), "remote_volume": VOLUME})
    launcher.launch(config)
    sent = launcher.air.requests(method="PUT", path="/api/2.0/fs/files/*")
    assert len(sent) == 1
    path = sent[0].path.removeprefix("/api/2.0/fs/files")
    assert path.startswith(f"{VOLUME}/.internal/code_")
    task = launcher.air.runs()[-1]["body"]["tasks"][0]["ai_runtime_task"]
    assert task["code_source_path"] == path
    launcher.launch(config)
    assert len(launcher.air.requests(method="PUT", path="/api/2.0/fs/files/*")) == 1


@pytest.mark.parametrize(
    "fault", [{"then": "reset", "after": True}, {"status": 503}, {"then": "reset"}], ids=str
)
def test_fault_while_a_volume_is_written(
    launcher: Launcher, created: Callable[[], int], fault: dict[str, object]
) -> None:
    """An upload to a volume is repeated, and a lost answer is no conflict."""
    launcher.air.add_fault("/api/2.0/fs/files/*", method="PUT", **fault)
    launcher.launch(launcher.config(code_source={"root_path": str(launcher.code), "remote_volume": VOLUME}))
    assert created() == 1


def test_large_code_in_a_volume(launcher: Launcher) -> None:
    """A large archive goes to a volume in parts, and arrives whole."""
    (launcher.code / "weights.bin").write_bytes(os.urandom(52 * 1024 * 1024))
    config = launcher.config(code_source={"root_path": str(launcher.code), "remote_volume": VOLUME})
    launcher.launch(config)
    assert launcher.air.requests(method="PUT", path="*part*")
    assert not launcher.air.requests(method="PUT", path="/api/2.0/fs/files/*")
    launcher.air.clear_requests()
    launcher.launch(config)
    assert not launcher.air.requests(method="PUT")


def test_large_code_is_refused(launcher: Launcher, created: Callable[[], int]) -> None:
    """An upload in parts that is refused is named, like any other."""
    launcher.air.add_fault(
        "/api/2.0/fs/*", method="POST", times=-1, status=403, error_code="PERMISSION_DENIED"
    )
    launcher.air.add_fault(
        "/api/2.0/fs/files/*", method="PUT", times=-1, status=403, error_code="PERMISSION_DENIED"
    )
    (launcher.code / "weights.bin").write_bytes(os.urandom(52 * 1024 * 1024))
    with pytest.raises(
        AuthError, match=r"/Volumes/main/default/code/\.internal/code_\w+\.tar\.gz could not be uploaded"
    ):
        launcher.launch(
            launcher.config(code_source={"root_path": str(launcher.code), "remote_volume": VOLUME})
        )
    assert created() == 0


def test_home_of_a_profile(launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace directory that the selected profile names takes the place of the user's; the environment's wins."""
    file = tmp_path / "databrickscfg"
    file.write_text(
        "[DEFAULT]\ndatabricks_internal_user_workspace_dir = /Workspace/Users/nobody\n"
        f"[training]\nhost = {launcher.air.url}\ntoken = {launcher.air.token}\n"
        "databricks_internal_user_workspace_dir = /Workspace/Shared/team/\n"
    )
    client = SyncClient(SdkCredentials({"profile": "training", "config_file": str(file)}))
    launch(client, launcher.config(), token="profile")
    monkeypatch.setenv("DATABRICKS_INTERNAL_USER_WORKSPACE_DIR", "/Workspace/Shared/other")
    launch(client, launcher.config(), token="environment")
    homes = [
        run["body"]["tasks"][0]["ai_runtime_task"]["code_source_path"].partition("/.air/")[0]
        for run in launcher.air.runs()[-2:]
    ]
    assert homes == ["/Workspace/Shared/team", "/Workspace/Shared/other"]
    assert launcher.air.requests(path="*/scim/v2/Me") == []


def test_service_principal(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection with a client id and its secret launches, and names its workspace where it has an id."""
    connection = {
        "conn_type": "databricks_air",
        "host": launcher.air.url,
        "login": "app",
        "password": launcher.air.token,
        "extra": {"workspace_id": "4711"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PRINCIPAL", json.dumps(connection))
    client = AirRuntimeHook("principal").client
    assert launch(client, launcher.config(), token="principal") == launcher.air.runs()[-1]["run_id"]
    assert client.run(client.credentials.headers())["X-Databricks-Workspace-Id"] == "4711"


PERMISSIONS = [
    {"user_name": "ada@example.com", "level": "CAN_MANAGE_RUN"},
    {"service_principal_name": "12345", "level": "IS_OWNER"},
]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about permissions."""
    return [record.getMessage() for record in caplog.records if "permissions" in record.getMessage()]


def granted(launcher: Launcher) -> dict[str, list[str]]:
    """Return the levels that were granted, by what they were granted on."""
    asked = {request.path.split("/")[4]: request.json() for request in launcher.air.requests(method="PATCH")}
    return {
        kind: [entry["permission_level"] for entry in body["access_control_list"]]
        for kind, body in asked.items()
    }


def test_permissions(launcher: Launcher, caplog: pytest.LogCaptureFixture) -> None:
    """Permissions are granted on the run with the launch, and on the experiment, in its own words, when asked."""
    config = launcher.config(permissions=PERMISSIONS)
    run_id = launcher.launch(config)
    assert granted(launcher) == {"jobs": ["CAN_MANAGE_RUN", "IS_OWNER"]}
    grant_on_experiment(launcher.client, config.permissions, launcher.client.perform(get_run(run_id)))
    assert granted(launcher)["experiments"] == ["CAN_EDIT", "CAN_MANAGE"]
    assert warnings(caplog) == []


@pytest.mark.parametrize("kind", ["jobs", "experiments"])
def test_permissions_that_are_refused(
    launcher: Launcher, created: Callable[[], int], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A grant that is refused is one warning; the run is there."""
    launcher.air.add_fault(
        f"/api/2.0/permissions/{kind}/*",
        times=-1,
        status=403,
        error_code="PERMISSION_DENIED",
        message="not yours",
    )
    config = launcher.config(permissions=PERMISSIONS)
    run_id = launcher.launch(config)
    grant_on_experiment(launcher.client, config.permissions, launcher.client.perform(get_run(run_id)))
    assert created() == 1
    assert len(warnings(caplog)) == 1
    assert "not yours" in warnings(caplog)[0]


def test_permissions_of_a_run_that_waits(launcher: Launcher, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody waits for a run, the experiment of one that waits for accelerators is not there in time."""
    launcher.air.on("waits").waits().succeeds()
    config = launcher.config(experiment_name="waits", permissions=PERMISSIONS)
    run_id = launcher.launch(config)
    waited: list[float] = []
    run = launcher.client.perform(get_run(run_id))
    grant_on_experiment(launcher.client, config.permissions, run, sleep=waited.append)
    assert sum(waited) == pytest.approx(2.0)
    assert len(warnings(caplog)) == 1
    assert "does not exist yet" in warnings(caplog)[0]


def test_protected_directory_names_the_setting(launcher: Launcher, created: Callable[[], int]) -> None:
    """A home that the workspace does not let anybody make is told with the setting to change."""
    launcher.air.add_fault(
        "/api/2.0/workspace/mkdirs",
        method="POST",
        times=-1,
        status=400,
        error_code="INVALID_PARAMETER_VALUE",
        message="Folder Users is protected",
    )
    with pytest.raises(ConfigError, match="Set DATABRICKS_INTERNAL_USER_WORKSPACE_DIR to a directory"):
        launcher.launch(launcher.config())
    assert created() == 0
