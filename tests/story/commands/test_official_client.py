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
"""The same run seen by ``databricks-air`` 1.2.1 and by these commands: equal fields, or a reason for the difference."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.story.commands.conftest import Commands

pytestmark = [pytest.mark.long, pytest.mark.plain, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
OFFICIAL = ROOT / ".venv/judge"
PACKAGES = ("databricks-air==1.2.1", "databricks-sdk==0.156.0")
YAML = """\
experiment_name: judge
compute: {accelerator_type: GPU_1xH100, num_accelerators: 2}
environment: {version: "4", dependencies: []}
command: |
  echo "node $NODE_RANK"; exit CODE
max_retries: RETRIES
"""


@pytest.fixture(scope="session")
def official() -> Path:
    """Install the official client into an environment of its own and return its command (network, once)."""
    with (ROOT / ".venv/judge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = OFFICIAL / ".done"
        if not done.exists() or done.read_text() != " ".join(PACKAGES):
            uv = str(ROOT / ".venv/uv/bin/uv")
            subprocess.run(
                [uv, "venv", "--quiet", "--clear", "--python", ">=3.10,<3.13", str(OFFICIAL)], check=True
            )
            python = str(OFFICIAL / "bin/python")
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
            done.write_text(" ".join(PACKAGES))
    return OFFICIAL / "bin/air"


class Both:
    """Asks both clients the same."""

    def __init__(self, commands: Commands, official: Path) -> None:
        self.commands = commands
        self._official = official

    def theirs(self, *arguments: str) -> tuple[int, list[Any]]:
        """Run the official client; return its exit code and the JSON lines that it printed."""
        done = subprocess.run(
            [str(self._official), "--json", *arguments],
            cwd=self.commands.work,
            env=self.commands.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def ours(self, *arguments: str, status: int = 0) -> list[Any]:
        """Run our command; return the JSON lines that it printed."""
        return [
            json.loads(line)
            for line in self.commands.run(*arguments, "-o", "json", status=status).out.splitlines()
        ]


@pytest.fixture
def both(commands: Commands, official: Path) -> Both:
    """Return both clients, pointed at one server."""
    return Both(commands, official)


@pytest.mark.parametrize(
    ("code", "retries"), [(0, 0), (0, 1), (1, 1)], ids=["single", "retries allowed", "retried and failed"]
)
def test_run_get_list_logs(both: Both, code: int, retries: int) -> None:
    """One run: submitted by them and by us with one key; described, listed and read by both."""
    both.commands.write("a.yaml", YAML.replace("CODE", str(code)).replace("RETRIES", str(retries)))
    status, (submitted,) = both.theirs("run", "a.yaml", "--idempotency-key", "one")
    (again,) = both.ours("run", "a.yaml", "--idempotency-key", "one")
    assert (status, submitted["v"], submitted["data"]) == (0, again["v"], again["data"])
    number = submitted["data"]["run_id"]
    both.commands.wait(number)

    _, (seen,) = both.theirs("get", "run", number)
    (described,) = both.ours("get", "run", number)
    assert described["data"] | seen["data"] == described["data"]
    assert seen.keys() == described.keys()

    _, (listed,) = both.theirs("list", "runs", "--all-status")
    (ours,) = both.ours("list", "runs", "--all-status")
    (row,) = listed["data"]["runs"]
    # They leave the name empty when they read it from the index.
    assert ours["data"]["runs"][0] | row == ours["data"]["runs"][0] | {"run_name": row["run_name"]}

    ended, events = both.theirs("logs", number)
    lines = both.ours("logs", number, status=ended)
    wanted = [(event["node"], event["line"]) for event in events if event["type"] == "LOG"]
    assert [(event["node"], event["line"]) for event in lines if event["type"] == "LOG"] == wanted


def test_active_runs(both: Both) -> None:
    """A run that is not over stands in both lists with the same fields; both cancel it."""
    number = both.commands.submit("sleep 600")
    both.commands.wait(number, {"RUNNING"})
    _, (listed,) = both.theirs("list", "runs")
    (ours,) = both.ours("list")
    (row,) = listed["data"]["runs"]
    assert ours["data"]["runs"][0] | row == ours["data"]["runs"][0]

    other = both.commands.submit("sleep 601")
    theirs_ended, (theirs,) = both.theirs("cancel", number, "99")
    (cancelled,) = both.ours("cancel", other, "99", status=theirs_ended)
    assert (theirs["data"]["cancelled"], cancelled["data"]["cancelled"]) == ([number], [other])
    assert theirs["data"]["failed"] == cancelled["data"]["failed"]


def test_errors(both: Both) -> None:
    """A run that is not there is the same error; what is no run id differs in its kind alone."""
    code, (theirs,) = both.theirs("get", "run", "99")
    (ours,) = both.ours("get", "run", "99", status=code)
    assert theirs["error"] == ours["error"]
    code, (theirs,) = both.theirs("get", "run", "abc")
    (ours,) = both.ours("get", "run", "abc", status=code)
    assert (theirs["error"]["code"], theirs["error"]["kind"]) == ("INVALID_ARGS", "USER")
    assert (ours["error"]["code"], ours["error"]["kind"]) == ("INVALID_ARGS", "PERMANENT")
    assert theirs["error"]["retryable"] == ours["error"]["retryable"]
