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
"""Every example Dag that is shipped runs, on every version of Airflow that can run it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from airflow.models.dagbag import DagBag
from airflow.providers.common.compat.sdk import DAG

import airflow_provider_databricks_air
from airflow.providers.databricks_air.version_compat import AIRFLOW_VERSION
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import run_and_tidy

FOLDER = Path(airflow_provider_databricks_air.__file__).parent / "example_dags"
FILES = sorted(path.name for path in FOLDER.glob("example_*.py"))
HAS_HUMANS = tuple(map(int, AIRFLOW_VERSION.split(".")[:2])) >= (3, 1)
# What does not end as success, and is not to.
OTHERWISE = {
    "example_air_callback.train": "failed",
    "example_air_ask.ask": "skipped",
    "example_air_ask.wait": "skipped",
    "example_air_ask.fall_back": "skipped",
    "example_air_ask.cancel": "skipped",
}
PRINTED = {
    "example_air_sweep.py": ["has loss 0.", "/jobs/runs/"],
    "example_air_taskflow.py": ["epoch 4: y = ", "'rate': 0.1"],
    "example_air_callback.py": ["train: ", "out of memory", "See http://127.0.0.1"],
    "example_air_sensor.py": ["asked for its end"],
}


@pytest.fixture
def examples(airflow_db: Path, airflow_home: Path) -> Path:
    """Put the examples where this Airflow looks for Dags."""
    target = airflow_home / "dags" / "examples"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(FOLDER, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def dags_of(path: Path) -> list[DAG]:
    """Return the Dags of a file, as Airflow finds them."""
    bag = DagBag(str(path))
    assert bag.import_errors == {}
    return list(bag.dags.values())


def run_all(path: Path) -> dict[str, Any]:
    """Run every Dag of a file; return the state of each task by Dag and task."""
    found = dags_of(path)
    states: dict[str, Any] = {}
    for dag in found:
        for ti in run_and_tidy(dag).get_task_instances():
            states[f"{dag.dag_id}.{ti.task_id}"] = str(getattr(ti.state, "value", ti.state))
    return states


@pytest.mark.parametrize("name", FILES)
def test_the_example_runs_green(
    air: LocalAirRuntime, examples: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its tasks end as they are meant to, and no run outlives it."""
    if name == "example_air_ask.py" and not HAS_HUMANS:
        pytest.skip("Airflow asks people from 3.1 on")
    states = run_all(examples / name)
    printed = "".join(capfd.readouterr())

    assert states
    assert {task: state for task, state in states.items() if state != OTHERWISE.get(task, "success")} == {}, (
        printed
    )
    assert [text for text in PRINTED.get(name, ()) if text not in printed] == [], printed
    assert air.runs_alive == []
