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
"""From a red task to the failing node's last lines and the end of the run, with the ids that its log names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.state.clock import VirtualClock
from tests.story.commands.conftest import Commands
from tests.story.dag_runner import Outcome

TRAIN = """\
experiment_name: story
compute: {accelerator_type: GPU_1xH100, num_accelerators: 2}
max_retries: 0
command: 'seq 300; if [ "$NODE_RANK" = 1 ]; then echo "CUDA error: out of memory"; exit 7; fi'
"""


def test_three_commands_at_night(
    air: LocalAirRuntime,
    commands: Commands,
    run_dag: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task's log names run and node; ``get``, ``logs`` and ``cancel`` take them and tell the rest."""
    variable = f'{{"conn_type": "databricks_air", "host": "{air.url}", "password": "{air.token}"}}'
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", variable)
    outcome = run_dag(
        "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3)", train=TRAIN
    )
    assert outcome.states == {"train": "failed"}
    found = re.search(r"AI Runtime run (\d+) ended as FAILED .*; node (\d) failed first", outcome.text)
    assert found, outcome.text
    number, node = found.groups()

    got = commands.run("get", number).out
    assert re.search(r"^Status +FAILED", got, re.MULTILINE)
    assert re.search(r"^Airflow task +story_\w+\.train", got, re.MULTILINE)
    last = commands.run("logs", number, "--node", node, "--lines", "100", status=1).out.splitlines()
    assert "CUDA error: out of memory" in last
    assert "210" in last
    assert "199" not in last
    assert "was already over (FAILED)" in commands.run("cancel", number).out


def test_logs_of_the_last_minutes(tmp_path: Path) -> None:
    """``--minutes`` leaves out what was printed before."""
    work = tmp_path / "work"
    work.mkdir()
    clock = VirtualClock(start=time.time() - 3600, speed=1)
    with LocalAirRuntime(tmp_path / "air", clock=clock) as air:
        commands = Commands(air, work)
        number = commands.submit(f"echo early; until [ -e {work}/go ]; do sleep 0.05; done; echo late")
        while "early" not in commands.run("logs", number, "--no-follow").out:
            pass
        air.advance(3500)
        (work / "go").touch()
        commands.wait(number)
        assert commands.run("logs", number, "--minutes", "10").out == "late\n"
        assert commands.run("logs", number, "--minutes", "120").out == "early\nlate\n"
