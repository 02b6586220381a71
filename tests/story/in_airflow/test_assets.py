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
"""What is told behind a run: the events of a task's assets, and OpenLineage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_VERSION
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

ROOT = Path(__file__).parents[3]
RunDag = Callable[..., Outcome]
ASSET = (
    "from airflow.sdk import Asset" if AIRFLOW_V_3_0_PLUS else "from airflow.datasets import Dataset as Asset"
)
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: "echo parent=${OPENLINEAGE_PARENT_ID:-nobody}"
"""


def events() -> list[tuple[dict[str, Any], str | None]]:
    """Return extra and partition of the events that Airflow has, newest first."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    module, name = (
        ("airflow.models.asset", "AssetEvent")
        if AIRFLOW_V_3_0_PLUS
        else ("airflow.models.dataset", "DatasetEvent")
    )
    event = getattr(import_module(module), name)
    with create_session() as session:
        found = session.scalars(select(event).order_by(event.id.desc()))
        return [(dict(each.extra), getattr(each, "partition_key", None)) for each in found]


@pytest.fixture(autouse=True)
def known_assets(airflow_db: Path) -> None:
    """Make the assets known to Airflow 2, whose ``dag.test()`` does not; there is no event without."""
    if AIRFLOW_V_3_0_PLUS:
        return
    from airflow.models.dataset import DatasetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DatasetModel(id=1, uri="s3://models/story"))


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_event_of_an_asset_has_the_result(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """What a task returns is the extra of its outlet's event, on the worker and behind the triggerer."""
    outcome = run_dag(
        f"""
{ASSET}
AirRunOperator(
    task_id="train", config_path="train.yaml", polling_interval=0.3, deferrable={deferrable},
    outlets=[Asset("s3://models/story")],
)
""",
        train=TRAIN,
    )
    assert outcome.states["train"] == "success", outcome.text
    extra, _ = events()[0]
    assert {key: extra[key] for key in outcome.xcoms["train"]} == outcome.xcoms["train"]
    assert extra["run_id"] == air.runs()[-1]["run_id"]
    assert "parent=nobody" in outcome.text


def test_partitions(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """There is one event for each partition that the run makes; an Airflow without them says so before it costs."""
    outcome = run_dag(
        f"""
{ASSET}
AirRunOperator(
    task_id="train", config_path="train.yaml", polling_interval=0.3,
    outlets=[Asset("s3://models/parts")], partition_keys=["{{{{ dag.dag_id }}}}", "eu"],
)
""",
        train=TRAIN,
    )
    if Version(AIRFLOW_VERSION) < Version("3.3"):
        assert outcome.states["train"] == "failed"
        assert "partition_keys: " in outcome.text
        assert f"Airflow 3.3 or later (this is {AIRFLOW_VERSION})" in outcome.text
        assert air.runs_created == 0
        return
    assert outcome.states["train"] == "success", outcome.text
    assert {key for _, key in events()[:2]} == {outcome.dag_id, "eu"}


def test_nothing_of_openlineage_is_imported_without_its_provider(
    air: LocalAirRuntime, run_dag: RunDag
) -> None:
    """A task that nobody asks for facets imports none of the modules."""
    run_dag('AirRunOperator(task_id="train", config_path="train.yaml", polling_interval=0.3)', train=TRAIN)
    assert not [name for name in sys.modules if name.startswith("openlineage")]


OPENLINEAGE = ("apache-airflow-providers-openlineage", "openlineage-python", "openlineage-integration-common")
BENEATH = ("openlineage-sql", "httpx2", "httpcore2")
LINEAGE = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    AirRunOperator(
        task_id="train",
        polling_interval=0.3,
        config={{
            "experiment_name": "story",
            "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
            "max_retries": 0,
            "command": {command!r},
        }},
    )
"""


@pytest.fixture(scope="session")
def openlineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with OpenLineage's provider, which Airflow finds when it is on the path."""
    folder = tmp_path_factory.mktemp("openlineage")
    uv = ROOT / ".venv/uv/bin/uv"
    install: list[Any] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python",
        sys.executable,
        "--target",
        folder,
    ]
    subprocess.run([*install, *OPENLINEAGE, *BENEATH], check=True)
    return folder


@pytest.mark.long  # It installs from the package index.
@pytest.mark.parametrize("command", ["true", "exit 3"], ids=["green", "red"])
def test_openlineage_is_told_of_the_run(
    air: LocalAirRuntime,
    airflow_home: Path,
    airflow_db: Path,
    openlineage: Path,
    tmp_path: Path,
    command: str,
) -> None:
    """The last event of a task has its run, good or bad; the command knows who has started it, the token does not."""
    told, dag = tmp_path / "events.json", airflow_home / "dags" / f"lineage_{command[:4].strip()}.py"
    transport = {"type": "file", "log_file_path": str(told), "append": True}
    dag.write_text(LINEAGE.format(dag_id=dag.stem, command=f"echo parent=$OPENLINEAGE_PARENT_ID; {command}"))
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", dag.stem],
        env={
            **os.environ,
            "PYTHONPATH": str(openlineage),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "story",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    (run,) = air.runs()
    assert f"parent=story/{dag.stem}.train/" in text, text
    events = [json.loads(line) for line in told.read_text().splitlines()]
    wanted = "COMPLETE" if command == "true" else "FAIL"
    (end,) = [
        event
        for event in events
        if event["eventType"] == wanted and event["job"]["name"] == f"{dag.stem}.train"
    ]
    facet, job = end["run"]["facets"]["databricks_air"], end["job"]["facets"]["databricks_air"]
    assert (facet["run_id"], facet["state"]) == (run["run_id"], "SUCCESS" if command == "true" else "FAILED")
    assert facet["mlflow_run_id"]
    assert end["run"]["facets"]["externalQuery"]["externalQueryId"] == str(run["run_id"])
    assert (job["accelerator_type"], job["num_accelerators"]) == ("GPU_1xA10", 1)
