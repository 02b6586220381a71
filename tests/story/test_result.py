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
"""What a task leaves for others: its result, its links, and none of its own notes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.links.air import LINKS
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
max_retries: 1
code_source: {root_path: %s}
command: |
    sleep 0.5
    [ "$NODE_RANK" != 1 ] || [ -e %s/again ] || { touch %s/again; exit 1; }
"""
TASK = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, deferrable=%s%s)"
# What describes the run, and is the same however the task comes to it.
KEYS = {
    *(
        "run_id",
        "state",
        "experiment_name",
        "attempts",
        "run_page_url",
        "mlflow_experiment_id",
        "mlflow_run_id",
    ),
    *("mlflow_url", "start", "end", "duration_seconds", "queue_seconds", "run_seconds", "accelerator_type"),
    *("num_accelerators", "accelerator_hours", "code_key", "code_commit", "metrics", "params"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one commit."""
    path = tmp_path / "code"
    path.mkdir()
    (path / "train.py").write_text("print('hello')")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", *arguments], cwd=path, check=True)
    return path


def newest_dag_run(airflow_db: Path) -> int:
    """Return the number of the newest Dag run; 0 when there is none."""
    with sqlite3.connect(airflow_db, timeout=30) as connection:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM dag_run").fetchone()[0])


def xcoms(airflow_db: Path, dag_run: int) -> dict[str, Any]:
    """Return the XComs of a Dag run as they are now."""
    with sqlite3.connect(airflow_db, timeout=30) as connection:
        query = "SELECT key, value FROM xcom WHERE dag_run_id = ?"
        rows = connection.execute(query, (dag_run,)).fetchall()
    return {key: value if isinstance(value, int) else json.loads(value) for key, value in rows}


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_result_describes_the_run(
    air: LocalAirRuntime, run_dag: RunDag, repository: Path, airflow_db: Path, deferrable: bool
) -> None:
    """The result has times, accelerators and code of the run, the same in both modes; nothing of ours is left."""
    outcome = run_dag(
        TASK % (deferrable, ""), train=TRAIN % (repository, repository.parent, repository.parent)
    )

    result = outcome.xcoms["train"]
    assert set(result) == KEYS, outcome.text
    assert (result["attempts"], result["accelerator_type"], result["num_accelerators"]) == (
        2,
        "GPU_8xH100",
        16,
    )
    whole = result["queue_seconds"] + result["run_seconds"]
    assert result["run_seconds"] >= 0.5
    assert whole >= result["duration_seconds"] > 0
    assert result["accelerator_hours"] == pytest.approx(16 * result["run_seconds"] / 3600, abs=1e-3)
    assert result["start"] < result["end"]
    assert result["start"].endswith("+00:00")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert result["code_commit"] == head.stdout.strip()
    assert result["code_key"] in air.runs()[0]["body"]["tasks"][0]["ai_runtime_task"]["code_source_path"]
    kept = {key for key in xcoms(airflow_db, newest_dag_run(airflow_db)) if not key.startswith("_link")}
    assert kept == {"return_value", "run_id", "run_page_url", "mlflow_url", "mlflow_experiment_url"}


def test_without_xcoms_only_the_links_are_left(
    air: LocalAirRuntime, run_dag: RunDag, airflow_db: Path
) -> None:
    """With ``do_xcom_push=False`` a task leaves no result and no run id; its links stay."""
    outcome = run_dag(TASK % (False, ", do_xcom_push=False"), train=QUICK)
    assert outcome.states["train"] == "success", outcome.text
    assert set(xcoms(airflow_db, newest_dag_run(airflow_db))) == {
        "run_page_url",
        "mlflow_url",
        "mlflow_experiment_url",
    }


QUICK = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: echo
"""


def test_links_are_there_while_the_run_lasts(
    air: LocalAirRuntime, run_dag: RunDag, airflow_db: Path, tmp_path: Path
) -> None:
    """The links to run, MLflow run and experiment are there before the run ends, also when it then fails."""
    seen: dict[str, Any] = {}
    before = newest_dag_run(airflow_db)
    wanted = {"run_page_url", "mlflow_url", "mlflow_experiment_url"}

    def wait_and_let_go() -> None:
        end = time.monotonic() + 200
        try:
            while not wanted <= set(seen) and time.monotonic() < end:
                seen.update(xcoms(airflow_db, before + 1))
                time.sleep(0.2)
            seen["alive"] = air.runs_alive
        finally:
            (tmp_path / "go").touch()

    watcher = threading.Thread(target=wait_and_let_go)
    watcher.start()
    command = f"while [ ! -e {tmp_path}/go ]; do sleep 0.2; done; exit 3"
    outcome = run_dag(TASK % (False, ""), train=QUICK.replace("command: echo", f"command: {command!r}"))
    watcher.join()

    assert outcome.states["train"] == "failed"
    (run,) = air.runs()
    assert seen["alive"] == [run["run_id"]]
    assert str(run["run_id"]) in seen["run_page_url"]
    assert seen["mlflow_url"].startswith(seen["mlflow_experiment_url"] + "/runs/")
    assert wanted <= set(xcoms(airflow_db, before + 1))


ONCE = """
seen = []
def once(context, result):
    seen.append(result)
    print("RESULT", result)
    if len(seen) == 1:
        raise RuntimeError("behind the run")
AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, deferrable={deferrable}, retries=1,
    retry_delay=0, post_execute=once)
"""


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_adopted_run_has_the_same_result(air: LocalAirRuntime, run_dag: RunDag, deferrable: bool) -> None:
    """A try that finds the run of the try before returns what that would have returned."""
    outcome = run_dag(ONCE.format(deferrable=deferrable), train=QUICK)
    assert outcome.states["train"] == "success", outcome.text
    first, second = (line for line in outcome.text.splitlines() if line.startswith("RESULT"))
    assert first == second
    assert len(air.runs()) == 1


def test_mapped_tasks_are_named_by_their_overrides(
    air: LocalAirRuntime, run_dag: RunDag, airflow_db: Path
) -> None:
    """Airflow shows each task of a sweep by what tells it from the others, or as its author wants it."""
    outcome = run_dag(
        """
        given = dict(config_path="train.yaml", polling_interval=0.3)
        rates = [{"parameters.lr": 0.1}, {"parameters.lr": "{{ 1 / 4 }}"}]
        AirRunOperator.partial(task_id="sweep", **given).expand(overrides=rates)
        AirRunOperator.partial(task_id="own", map_index_template="{{ task.overrides | length }} of one", **given).expand(
            overrides=rates)
        """,
        train=QUICK,
    )
    assert set(outcome.states.values()) == {"success"}, outcome.text
    with sqlite3.connect(airflow_db, timeout=30) as connection:
        query = "SELECT task_id, rendered_map_index FROM task_instance WHERE dag_id = ? ORDER BY map_index"
        rows = connection.execute(query, (outcome.dag_id,)).fetchall()
    names = {task: [name for each, name in rows if each == task] for task in ("sweep", "own")}
    assert names == {"sweep": ["lr=0.1", "lr=0.25"], "own": ["1 of one", "1 of one"]}


def test_the_link_is_there_before_the_run_as_an_empty_text(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A task that never had a run leads nowhere, and nothing fails for it."""
    outcome = run_dag(TASK % (False, ""), train="[")
    assert outcome.states["train"] == "failed"
    assert "AirRunLink" not in outcome.text
    assert [link.xcom_key for link in LINKS] == ["run_page_url", "mlflow_url", "mlflow_experiment_url"]
