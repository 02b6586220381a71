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
"""The Dags of the pages, run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from airflow.models.dagbag import DagBag
from airflow.providers.common.compat.sdk import DAG

from tests.pages import Block, blocks, name
from tests.story.dag_runner import run_and_tidy
from tests.story.pages.reader import DAGS, Reader


def dags() -> list[Block]:
    """Return the blocks that are whole Dag files."""
    return [block for block in blocks("python") if "with DAG(" in block.text and block.is_run]


def dags_of(path: Path) -> list[DAG]:
    """Return the Dags of a file, as Airflow finds them."""
    bag = DagBag(str(path))
    assert bag.import_errors == {}
    return list(bag.dags.values())


@pytest.mark.parametrize("block", dags(), ids=name)
def test_a_dag_of_a_page_runs(
    reader: Reader, block: Block, airflow_db: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every whole Dag of a page runs with the YAML that the page shows above it, and ends as the page says."""
    for variable in ("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", "DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.setenv(variable, reader.environment[variable])
    reader.follow(block)
    folder = airflow_home / "dags" / re.sub(r"\W", "_", name(block))
    shutil.copytree(reader.folder / DAGS, folder)
    (folder / "page_dag.py").write_text(block.text, encoding="utf-8")
    ends = [str(run_and_tidy(dag).state.value) for dag in dags_of(folder / "page_dag.py")]
    assert set(ends) == {"failed" if block.mark == "ends red" else "success"}
    assert reader.air.runs_alive == []
