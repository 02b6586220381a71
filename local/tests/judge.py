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
"""Databricks' own clients, unmodified, in environments of their own (network, once each)."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

from databricks_air_local import LocalAirRuntime

ROOT = Path(__file__).resolve().parents[2]
YAML = """
experiment_name: judge
compute: {accelerator_type: GPU_1xH100, num_accelerators: 2}
environment: {version: "4", dependencies: []}
env_variables: {WHO: judge}
parameters: {lr: 0.1}
code_source: {type: snapshot, snapshot: {root_path: src}}
command: |
  echo "node $NODE_RANK of $NUM_NODES for $WHO"
  cat $HYPERPARAMETERS_PATH
  python3 $CODE_SOURCE_PATH/train.py
max_retries: 1
"""


def environment_of(*packages: str) -> Path:
    """Return the ``bin`` of an environment with packages, which is made when it is not there yet."""
    name = "-".join(package.partition("[")[0].replace("==", "-") for package in packages)
    home = ROOT / ".venv" / f"judge-{name}"
    home.parent.mkdir(exist_ok=True)
    with (home.parent / "judge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".done").exists():
            uv = str(ROOT / ".venv" / "uv" / "bin" / "uv")
            subprocess.run(
                [uv, "venv", "--quiet", "--clear", "--python", ">=3.10,<3.13", str(home)], check=True
            )
            python = str(home / "bin" / "python")
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
            (home / ".done").touch()
    return home / "bin"


class Judge:
    """Runs the clients' commands."""

    def __init__(self, air: LocalAirRuntime, bin_directory: Path, work: Path) -> None:
        self._bin = bin_directory
        self._work = work
        self._environment = {
            "PATH": f"{bin_directory}:{os.environ['PATH']}",
            "HOME": str(work),
            "COLUMNS": "200",
            "DATABRICKS_HOST": air.url,
            "DATABRICKS_TOKEN": air.token,
            "NO_PROXY": "127.0.0.1",
        }
        (work / "src").mkdir()
        (work / "src" / "train.py").write_text('print("hello from the snapshot")\n')
        (work / "train.yaml").write_text(YAML)

    def air(self, *arguments: str, status: int = 0) -> str:
        """Run ``air`` and return what it printed."""
        return self.run("air", *arguments, status=status)

    def data(self, *arguments: str) -> Any:
        """Run ``air --json`` and return the data of the last envelope."""
        return json.loads(self.air("--json", *arguments).splitlines()[-1])["data"]

    def run(self, *command: str, status: int = 0) -> str:
        """Run a program of the judge's environment."""
        done = subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self._work,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def script(self, code: str) -> Any:
        """Run Python with the SDK and return the JSON that it printed last."""
        return json.loads(self.run("python", "-c", textwrap.dedent(code)).splitlines()[-1])
