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
"""``airflow providers …``: what a user sees of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TypedDict

import pytest

from airflow.providers.databricks_air import __version__

pytestmark = pytest.mark.xdist_group("providers")

DISTRIBUTION = "airflow-provider-databricks-air"
COMPLAINTS = ("warning", "error", "deprecat", "inconsisten", "failed", "coherence")
EXPECTED = {
    ("list",): [DISTRIBUTION, __version__, "serverless GPU training"],
    ("get", DISTRIBUTION, "--full"): [DISTRIBUTION, "Databricks AI Runtime", "databricks_air"],
    ("hooks",): ["airflow.providers.databricks_air.hooks.air.AirRuntimeHook", "databricks_air_conn_id"],
    ("triggers",): ["airflow.providers.databricks_air.triggers.air"],
    ("links",): ["airflow.providers.databricks_air.links.air.AirRunLink"],
}

# One process for all commands: starting Airflow takes longer than all of them.
PROGRAM = """
import io, json, sys
from contextlib import redirect_stdout
from airflow.cli.cli_parser import get_parser
shown = {}
for command in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as output:
        arguments = get_parser().parse_args(["providers", *command, "--output", "plain"])
        arguments.func(arguments)
    shown[" ".join(command)] = output.getvalue()
print(json.dumps(shown))
"""


class Outcome(TypedDict):
    """What the commands printed, by command, and what was said besides."""

    shown: dict[str, str]
    said: str


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Run every command in a process that has not imported this package yet."""
    result = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM, json.dumps(list(EXPECTED))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    *others, answer = result.stdout.splitlines()
    return {"shown": json.loads(answer), "said": "\n".join([*others, result.stderr])}


@pytest.mark.parametrize("command", EXPECTED, ids=" ".join)
def test_command_shows_the_package(command: tuple[str, ...], outcome: Outcome) -> None:
    """The command shows what this package brings."""
    shown = outcome["shown"][" ".join(command)]
    assert [text for text in EXPECTED[command] if text not in shown] == []


def test_airflow_has_no_complaint(outcome: Outcome) -> None:
    """No command warns about this package."""
    lines = [*outcome["said"].splitlines(), *"".join(outcome["shown"].values()).splitlines()]
    ours = [line.lower() for line in lines if "databricks_air" in line or "databricks-air" in line]
    assert [line for line in ours if any(word in line for word in COMPLAINTS)] == []
    assert "Traceback" not in outcome["said"]
