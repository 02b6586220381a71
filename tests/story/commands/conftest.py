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
"""The commands as people start them: a process each, against a local AI Runtime."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime

TERMINAL = {"TERMINATED", "INTERNAL_ERROR", "SKIPPED"}
MINIMAL = """\
experiment_name: air-cuj
command: python train.py
compute: {accelerator_type: GPU_1xH100, num_accelerators: 1}
"""
ALONE = (sys.executable, "-m", "airflow_provider_databricks_air")


class Done:
    """What a command printed and exited with."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def data(self) -> Any:
        """The data of the last envelope."""
        return self.envelope["data"]

    @property
    def error(self) -> Any:
        """The error of the last envelope."""
        return self.envelope["error"]

    @property
    def envelope(self) -> Any:
        """The last line of the standard output."""
        return json.loads(self.out.splitlines()[-1])


class Commands:
    """Starts commands in a directory of their own, signed in by the environment alone."""

    def __init__(self, air: LocalAirRuntime, work: Path) -> None:
        self.air = air
        self.work = work
        signed_in = {"DATABRICKS_HOST": air.url, "DATABRICKS_TOKEN": air.token, "COLUMNS": "200"}
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy") if name in os.environ}
        self.environment = {**kept, "HOME": str(work), "AIRFLOW_HOME": str(work / "airflow"), **signed_in}

    def write(self, name: str, text: str) -> Path:
        """Write a file into the directory."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(
        self, *arguments: str, status: int = 0, without: tuple[str, ...] = (), **environment: str
    ) -> Done:
        """Run a command to its end and check its exit code."""
        env = {name: value for name, value in self.environment.items() if name not in without}
        done = Done(
            subprocess.run(
                [*ALONE, *arguments],
                cwd=self.work,
                env=env | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        )
        assert done.code == status, done.out + done.err
        assert "Traceback" not in done.err
        return done

    def submit(self, command: str = "echo hello", **fields: Any) -> str:
        """Submit a run and return its id."""
        document = {
            "experiment_name": "story",
            "command": command,
            "compute": {"accelerator_type": "GPU_1xH100", "num_accelerators": 1},
            "max_retries": 0,
            **fields,
        }
        self.write("story.yaml", json.dumps(document))
        return str(self.run("run", "-f", "story.yaml", "-o", "json").data["run_id"])

    def ended(self, command: str = "echo hello", **fields: Any) -> str:
        """Submit a run, wait for its end and return its id."""
        number = self.submit(command, **fields)
        self.wait(number)
        return number

    def wait(self, number: str, states: set[str] = TERMINAL, seconds: float = 60.0) -> None:
        """Wait until a run is in one of these states."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (run,) = (run for run in self.air.runs() if str(run["run_id"]) == number)
            if run["state"]["life_cycle_state"] in states:
                return
            time.sleep(0.05)
        raise AssertionError(f"run {number} is not in {states} after {seconds} s")


class Terminal:
    """A command on a terminal of its own.

    :param commands: where and as whom it runs.
    :param arguments: the command and its arguments.
    """

    def __init__(self, commands: Commands, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        env = {**commands.environment, "TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen(
            [*ALONE, *arguments], cwd=commands.work, env=env, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.seen = ""

    def until(self, text: str) -> None:
        """Read until *text* is on the screen."""
        while text not in self.seen:
            assert self._read(), self.seen

    def write(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(60)

    def _read(self) -> bool:
        try:
            piece = os.read(self._master, 65536)
        except OSError:
            # The other end is closed.
            return False
        self.seen += piece.decode()
        return bool(piece)


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime; the commands know it from their environment alone."""
    secrets = {"my_scope/hf_token": "s3cret"}
    with LocalAirRuntime(tmp_path / "air", retry_wait=0.1, secrets=secrets) as runtime:
        yield runtime


@pytest.fixture
def commands(air: LocalAirRuntime, tmp_path: Path) -> Commands:
    """Return what starts commands."""
    work = tmp_path / "work"
    work.mkdir()
    return Commands(air, work)
