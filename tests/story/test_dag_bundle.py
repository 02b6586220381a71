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
"""A Dag whose files come from a git repository: what a rerun trains with is of the version that it was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import AIRFLOW_3, AirflowCluster, Settings, TaskKey, wait_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no bundles"),
]

ROOT = Path(__file__).parents[2]
PROVIDER = ("apache-airflow-providers-git", "GitPython", "gitdb", "smmap")
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

with DAG("versions", schedule=None, catchup=False, tags=[{tag!r}]):
    AirRunOperator(task_id="train", config_path="conf/train.yaml", polling_interval=1)
"""
BASE = "compute: {{accelerator_type: GPU_1xA10, num_accelerators: {count}}}\nmax_retries: 0\n"
TRAIN = """
_bases_: [base.yaml]
experiment_name: versions
code_source: {root_path: ../code}
command: python3 $CODE_SOURCE_PATH/train.py
"""


@pytest.fixture(scope="module")
def git_provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the provider that reads Dags from git, which Airflow finds when it is on the path."""
    folder = tmp_path_factory.mktemp("provider")
    install: list[Any] = [ROOT / ".venv/uv/bin/uv", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--python", sys.executable, "--target", folder, *PROVIDER], check=True)
    return folder


class Repository:
    """A git repository with a Dag, its configuration and its code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        """Run git and return what it prints."""
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, word: str, count: int) -> str:
        """Commit a version that trains on so many accelerators and prints a word; return its id."""
        files = {
            "dags/dag.py": DAG.format(tag=word),
            "dags/conf/train.yaml": TRAIN,
            "dags/conf/base.yaml": BASE.format(count=count),
            "dags/code/train.py": f"print('trained with', {word!r})\n",
        }
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", ".")
        self.git("commit", "-qm", word)
        return self.git("rev-parse", "HEAD")


def test_a_rerun_trains_with_the_version_that_it_was_asked_for(tmp_path: Path, git_provider: Path) -> None:
    """Configuration, base and code are of the commit of the Dag's version, the newest only where it was asked for."""
    repository = Repository(tmp_path / "repository")
    old = repository.commit("old", 1)
    kwargs = {
        "tracking_ref": "main",
        "subdir": "dags",
        "repo_url": str(repository.path),
        "refresh_interval": 2,
    }
    bundle = {
        "name": "repository",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": kwargs,
    }
    with LocalAirRuntime(tmp_path / "air") as air:
        env = {
            "PYTHONPATH": str(git_provider),
            "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": air.connection_uri,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
        }
        with AirflowCluster(Settings(tmp_path / "airflow", env=env)) as airflow:
            key = TaskKey("versions", "first", "train")
            airflow.client.wait_dag("versions")
            airflow.client.trigger("versions", "first")
            assert trained(airflow, key, 1) == (old, 1, "old")

            new = repository.commit("new", 2)
            wait_for(lambda: '"new"' in airflow.client.read("/api/v2/dags/versions"), "the new version")
            airflow.client.clear(key)
            assert trained(airflow, key, 2) == (old, 1, "old")
            airflow.client.clear(key, is_latest=True)
            assert trained(airflow, key, 3) == (new, 2, "new")
            assert len(air.runs()) == 3


def trained(airflow: AirflowCluster, key: TaskKey, try_number: int) -> tuple[str, int, str]:
    """Wait for a try, and return the commit and accelerators of its result, and the word in its log."""

    def is_over() -> bool:
        view = airflow.client.task(key)
        return view.try_number == try_number and view.state in {"success", "failed"}

    wait_for(is_over, f"try {try_number}", timeout=300)
    log = airflow.client.log(key, try_number)
    assert airflow.client.task(key).state == "success", log
    result = airflow.client.xcom(key)
    (word,) = {line.rpartition("trained with ")[2] for line in log.splitlines() if "trained with " in line}
    return result["code_commit"], result["num_accelerators"], word
