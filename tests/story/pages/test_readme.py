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
"""The README's own Dag and YAML, run as a reader would run them."""

from __future__ import annotations

import re
import runpy
import textwrap
from pathlib import Path

from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import run_and_tidy

README = Path(__file__).resolve().parents[3] / "README.rst"


def _block(language: str) -> str:
    """Return the first code block of a language in the README."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"^\.\. code-block:: {language}\n\n((?: {{3}}.*\n|\n)+)", text, re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[1])


def test_readme_dag_trains(air: LocalAirRuntime, airflow_db: Path, airflow_home: Path) -> None:
    """The Dag of the README succeeds with the YAML of the README and returns the result that it promises."""
    folder = airflow_home / "dags" / "readme"
    folder.mkdir()
    (folder / "train.yaml").write_text(_block("yaml"), encoding="utf-8")
    (folder / "training.py").write_text(_block("python"), encoding="utf-8")
    train = runpy.run_path(str(folder / "training.py"))["train"]
    dag_run = run_and_tidy(train.dag)
    (instance,) = dag_run.get_task_instances()
    assert instance.state == "success"
    result = instance.xcom_pull(task_ids="train")
    assert result["state"] == "SUCCESS"
    assert result["run_page_url"].startswith(air.url)
