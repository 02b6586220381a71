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
"""Started with Airflow or without: who signs in, what it costs, and the way from a run back to its task."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow.providers.databricks_air.cli.parser import COMMANDS
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from tests.story.commands.conftest import ALONE, Commands

NOBODY = ("DATABRICKS_HOST", "DATABRICKS_TOKEN")
VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])


def connection(commands: Commands) -> str:
    """Return an Airflow connection to the local AI Runtime."""
    parts = {"conn_type": "databricks_air", "host": commands.air.url, "password": commands.air.token}
    return json.dumps(parts)


def _airflow() -> dict[str, Any]:
    """Return the settings of this process's Airflow, which has a database."""
    return {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_")}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_starts_in_half_a_second(name: str) -> None:
    """Without Airflow a command is ready in less than 0.5 s of the processor, whatever else the machine does."""

    def seconds() -> float:
        start = os.times()
        done = subprocess.run([*ALONE, name, "--help"], capture_output=True, text=True, check=True)
        end = os.times()
        assert name in done.stdout
        return end.children_user + end.children_system - start.children_user - start.children_system

    assert any(seconds() < 0.5 for _ in range(3))


def test_a_connection_signs_in_without_airflows_command_line(commands: Commands, airflow_db: Path) -> None:
    """``--connection`` asks Airflow for one of its connections; one that it lacks is told."""
    number = commands.ended()
    variable: dict[str, Any] = {"AIRFLOW_CONN_AIR_OTHER": connection(commands)}
    done = commands.run("get", number, "--connection", "air_other", "-o", "json", without=NOBODY, **variable)
    assert done.data["run_id"] == number
    nowhere = ("get", number, "--connection", "nowhere", "-o", "json")
    missing = commands.run(*nowhere, status=1, without=NOBODY, **_airflow())
    assert missing.error["code"] == "NOT_FOUND"
    assert "AIRFLOW_CONN_NOWHERE" in missing.error["message"]


def test_connection_and_profile_exclude_each_other(commands: Commands) -> None:
    """Two ways to sign in at once are wrong usage."""
    assert "keep one" in commands.run("get", "5", "--connection", "a", "-p", "b", status=2).err


WITHIN = [
    pytest.param([sys.executable, "-m", "airflow.providers.databricks_air"], id="-m"),
    pytest.param(
        [sys.executable, "-m", "airflow", "databricks-air"],
        id="airflow",
        marks=pytest.mark.skipif(VERSION < (3, 2), reason="Airflow takes commands of providers from 3.2 on"),
    ),
]


def test_a_connection_in_airflows_database_signs_in(commands: Commands, airflow_db: Path) -> None:
    """A connection that was made in Airflow, and stands in its database alone, is found by a command."""
    number = commands.ended()
    parts = (
        "--conn-type",
        "databricks_air",
        "--conn-host",
        commands.air.url,
        "--conn-password",
        commands.air.token,
    )
    added = subprocess.run(
        [sys.executable, "-m", "airflow", "connections", "add", "air_stored", *parts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert added.returncode == 0, added.stderr
    done = commands.run(
        "get", number, "--connection", "air_stored", "-o", "json", without=NOBODY, **_airflow()
    )
    assert done.data["run_id"] == number


@pytest.mark.parametrize("start", WITHIN)
def test_within_airflow_the_default_connection_signs_in(commands: Commands, start: list[str]) -> None:
    """Started with Airflow, a command takes the connection ``databricks_air_default``."""
    number = commands.ended()
    environment = {name: value for name, value in commands.environment.items() if name not in NOBODY}
    environment["AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT"] = connection(commands)
    done = subprocess.run(
        [*start, "get", number, "-o", "json"],
        env=environment,
        cwd=commands.work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["data"]["run_id"] == number


def test_the_hook_describes_what_get_prints(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """``AirRuntimeHook.describe`` returns the data of ``get -o json``."""
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", connection(commands))
    number = commands.ended()
    assert AirRuntimeHook().describe(int(number)) == commands.run("get", number, "-o", "json").data


def test_a_run_leads_back_to_its_task(
    commands: Commands, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``get`` names Dag, task, Dag run and try of a run that a task asked for; ``list --airflow`` the Dag and task."""
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", connection(commands))
    outcome = run_dag(
        """
    AirRunOperator(task_id="train", config={"experiment_name": "ours", "command": "echo hi",
        "compute": {"accelerator_type": "GPU_1xH100", "num_accelerators": 1}}, polling_interval=0.2)
    """
    )
    assert outcome.states == {"train": "success"}
    number = str(outcome.xcoms["train"]["run_id"])
    other = commands.ended()
    owner = commands.run("get", number, "-o", "json").data["owner"]
    assert owner["task_id"] == "train"
    assert re.search(
        rf"^Airflow task +{owner['dag_id']}\.train, run .*, try 1",
        commands.run("get", number).out,
        re.MULTILINE,
    )
    listed = commands.run("list", "--all-status", "--airflow").out
    assert re.search(rf"^{number} .* {owner['dag_id']}\.train *$", listed, re.MULTILINE)
    assert re.search(rf"^{other} .* none *$", listed, re.MULTILINE)
