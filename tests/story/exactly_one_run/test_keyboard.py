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
"""Ctrl-C in ``airflow dags test`` and ``airflow tasks test``: nobody else is there to follow the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime

DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

with DAG("keyboard_{name}", schedule=None, catchup=False):
    AirRunOperator(
        task_id="train",
        config={{
            "experiment_name": "keyboard",
            "command": "true",
            "max_retries": 0,
            "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
        }},
        polling_interval=1.0,
        {more}
    )
"""
COMMANDS = {"dags": ["dags", "test", "{dag}"], "tasks": ["tasks", "test", "{dag}", "train", "2026-11-21"]}


@pytest.fixture(autouse=True)
def heeds_ctrl_c() -> Iterator[None]:
    """What a shell starts in the background ignores the signal, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _interrupt(air: LocalAirRuntime, folder: Path, command: str, more: str) -> str:
    """Start the command, press Ctrl-C when the run is followed, and return what it said."""
    air.on("*").hangs()
    name = f"{command}_{len(list(folder.iterdir()))}"
    (folder / f"{name}.py").write_text(DAG.format(name=name, more=more))
    words = [word.format(dag=f"keyboard_{name}") for word in COMMANDS[command]]
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow", *words],
        env={**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own, as a terminal gives each command one, to which it sends the signal.
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 200
        while len(air.requests("GET", "*/jobs/runs/get")) < 3:
            assert time.monotonic() < end, "nobody follows a run"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        return process.communicate(timeout=90)[0]
    finally:
        process.kill()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("command", "is_deferrable"), [("dags", False), ("dags", True), ("tasks", False)], ids=str
)
def test_ctrl_c_ends_the_run(
    air: LocalAirRuntime, airflow_db: Path, tmp_path: Path, command: str, is_deferrable: bool
) -> None:
    """The one run is cancelled, once, and the command says so."""
    said = _interrupt(air, tmp_path, command, f"deferrable={is_deferrable}")
    assert (air.runs_created, list(air.runs_alive)) == (1, []), said
    assert len(air.requests("POST", "*/jobs/runs/cancel")) == 1
    assert "interrupted from the keyboard" in said


@pytest.mark.timeout(400)
def test_ctrl_c_leaves_a_detached_run(air: LocalAirRuntime, airflow_db: Path, tmp_path: Path) -> None:
    """With ``on_kill="detach"`` the run stays alive, and the command says so."""
    said = _interrupt(air, tmp_path, "tasks", 'on_kill="detach"')
    assert (air.runs_created, len(air.runs_alive)) == (1, 1), said
    assert "stays alive" in said
