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
"""Somebody who does what a page says: writes its files, types its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from databricks_air_local import LocalAirRuntime
from tests.pages import ROOT, Block, blocks

# Commands that start Airflow take seconds each.
SLOW = re.compile(r"^(\$ )?(airflow |python -m (airflow|databricks_air_local)|curl )", re.MULTILINE)
DAGS = "airflow/dags"
TRAIN = blocks("yaml", page="README.rst")[0].text
# A run of four nodes, so that the pages may ask for the log of the last.
FOUR = """\
experiment_name: qwen
compute: {accelerator_type: GPU_8xH100, num_accelerators: 32}
command: echo "node $NODE_RANK"
"""
# MLflow is no dependency of the tests: in the place of its package stand the two calls that a page makes.
MLFLOW = """\
import json, os, time
from contextlib import nullcontext
from urllib.request import Request, urlopen

def start_run(run_id):
    return nullcontext()

def log_metric(key, value, step):
    metric = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "step": step}
    body = json.dumps({**metric, "timestamp": int(1000 * time.time())}).encode()
    headers = {"Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}", "Content-Type": "application/json"}
    urlopen(Request(f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/log-metric", body, headers)).close()
"""


class Reader:
    """Does what a page says in a folder that was empty.

    :param air: stands for every workspace that a page names.
    :param folder: where the reader works.
    """

    def __init__(self, air: LocalAirRuntime, folder: Path) -> None:
        self.air = air
        self.folder = folder
        for shown in ("docs/examples", "tests/examples"):
            (folder / shown).parent.mkdir(parents=True)
            (folder / shown).symlink_to(ROOT / shown)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "NO_PROXY": "127.0.0.1,localhost",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "DATABRICKS_HOST": air.url,
            "DATABRICKS_TOKEN": air.token,
            "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": air.connection_uri,
        }
        self.write("train.yaml", TRAIN)
        self.write(f"{DAGS}/train.yaml", TRAIN)
        self.write(f"{DAGS}/training/mlflow.py", MLFLOW)
        self.write("four.yaml", FOUR)
        self.write("mcli-run.yaml", (ROOT / "tests/examples/mosaic/hello.yaml").read_text(encoding="utf-8"))

    def write(self, path: str, text: str) -> None:
        """Put a file into the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def type(self, text: str) -> str:
        """Type commands into one shell, which stops at the first that fails; return what is printed."""
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", self._here(text)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def follow(self, block: Block) -> None:
        """Write the files that the page has shown above a block."""
        for shown in blocks("yaml", "python", page=block.page):
            if shown.file and shown.line < block.line:
                self.write(shown.file, shown.text)

    def run_id(self) -> str:
        """Return the id of a run that has ended, made when a page first asks for one."""
        if not self.air.runs():
            self.type("airflow-databricks-air run -f four.yaml --watch")
        return str(self.air.runs()[0]["run_id"])

    def _here(self, text: str) -> str:
        """Return commands with this machine's server for the page's workspace, and a run of it for the page's."""
        for shown in (
            r"https://(adb-[\d.]+\.azure|my\.cloud\.)databricks\.(net|com)",
            r"http://127\.0\.0\.1:\d+",
        ):
            text = re.sub(shown, self.air.url, text)
        for shown in ("<personal access token>", "my-local-ai-runtime", "dapilocal..."):
            text = text.replace(shown, self.air.token)
        text = text.replace("DATABRICKS_TOKEN=...", f"DATABRICKS_TOKEN={self.air.token}")
        # A server that runs until somebody stops it runs until a command has ended instead.
        text = re.sub(r"^(databricks-air-local\b.*)$", r"\1 --port 0 -- true", text, flags=re.MULTILINE)
        if asked := re.search(r"<run id>|388840544681214", text):
            text = text.replace(asked[0], self.run_id())
        return text


def commands(block: Block) -> str:
    """Return what is typed in a block of shell commands; what a console shows below a prompt is left out."""
    if block.language != "console":
        return block.text
    typed = re.findall(r"^\$ (.*(?:\\\n.*)*)", block.text, re.MULTILINE)
    return "\n".join(typed) + "\n"


def cases(slow: bool) -> list[Block]:
    """Return the shell blocks that are run, those that take seconds or the others."""
    shells = blocks("bash", "console")
    return [block for block in shells if block.is_run and bool(SLOW.search(block.text)) is slow]
