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
"""The examples in README.rst and docs: each one is run, loaded or read as what it says it is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from airflow.providers.common.compat.sdk import Connection

from airflow.providers.databricks_air.hooks.air import credentials_from
from airflow.providers.databricks_air.run import load_run_config
from scripts.shown_files import refreshed
from tests.pages import PAGES, ROOT, Block, blocks, name

EXAMPLES = ROOT / "src/airflow_provider_databricks_air/example_dags"
CONNECTION = re.compile(r"AIRFLOW_CONN_\w+='(\{.*?\})'", re.DOTALL)
TARGET = re.compile(r"\bmake ([a-z-]+)")


def test_blocks_are_found() -> None:
    """The pages have examples of each kind, so that the tests below test something."""
    assert {block.language for block in blocks("python", "yaml", "bash")} == {"python", "yaml", "bash"}


@pytest.mark.parametrize("block", blocks("python"), ids=name)
def test_python_example_runs(block: Block) -> None:
    """Every Python example with its imports can be executed as it stands; a fragment is valid Python.

    Whole Dags are run in ``tests/story/test_pages.py``.
    """
    code = compile(block.text, block.page, "exec")
    if (
        block.is_run
        and "with DAG(" not in block.text
        and re.search(r"^from (airflow|databricks_air_local)\b", block.text, re.MULTILINE)
    ):
        exec(code, {"__name__": "example"})


@pytest.mark.parametrize("block", blocks("yaml"), ids=name)
def test_yaml_example_is_valid(block: Block) -> None:
    """Every whole YAML example is a valid run configuration, every fragment is YAML."""
    document = yaml.safe_load(block.text)
    if "experiment_name" in document:
        shown = ROOT / block.mark.removeprefix("from: ") if block.mark.startswith("from: ") else EXAMPLES
        load_run_config(block.text, base_dir=shown if shown.is_dir() else shown.parent)


@pytest.mark.parametrize("block", blocks("bash"), ids=name)
def test_shell_example_is_sound(block: Block) -> None:
    """Every shell example is valid bash, its connections can be read and its make targets exist."""
    checked = subprocess.run(
        ["bash", "-n"],
        input=re.sub(r"<[\w ]+>", "x", block.text),
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    for text in CONNECTION.findall(block.text):
        connection = Connection.from_json(text, conn_id="example")
        credentials_from(connection, json.loads(text).get("extra", {}))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in TARGET.findall(block.text):
        assert re.search(rf"^[a-z -]*\b{target}\b[a-z -]*:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_shown_file_is_current(page: Path) -> None:
    """A page that shows a file shows all of it as it is: ``python -m scripts.shown_files`` writes it again."""
    text = page.read_text(encoding="utf-8")
    assert refreshed(text) == text


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_example_configuration_is_valid(path: Path) -> None:
    """Every YAML beside the example Dags is a valid run configuration."""
    load_run_config(path)


def test_classifiers_follow_from_what_ran() -> None:
    """Each Python that the package claims has passed on some Airflow, and no run of the table has failed."""
    lines = (ROOT / "docs/legs.inc").read_text(encoding="utf-8")
    rows = re.findall(r"   \* - (\S+)\n     - (3\.\d+)\n     - (.*)\n     - ?(.*)\n     - ?(.*)\n", lines)
    assert "failed" not in lines
    ran = {python for _, python, *results in rows if results[:2] == ["passed", "passed"]}
    for project in (ROOT / "pyproject.toml", ROOT / "local/pyproject.toml"):
        if project.exists():  # The source distribution of the provider has no other one in it.
            text = project.read_text(encoding="utf-8")
            assert set(re.findall(r"Python :: (3\.\d+)", text)) == ran


def test_readme_stays_short() -> None:
    """The README is read in two minutes: at most 120 lines."""
    assert len((ROOT / "README.rst").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_map_for_newcomers_is_true() -> None:
    """Every file and folder that CONTRIBUTING names stands where it says."""
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    roots = [
        ROOT,
        ROOT / "src/airflow/providers/databricks_air",
        ROOT / "local/src/databricks_air_local",
    ]
    named = {word for literal in re.findall(r"``([^`]+)``", text) for word in literal.split()}
    paths = {word for word in named if re.fullmatch(r"[\w./…-]+(\.py|/)|[a-z]+(/[a-z_]+)+", word)}
    assert len(paths) > 30
    lost = [
        path
        for path in sorted(paths)
        if not any(
            (root / path.replace("local/…/", "local/src/databricks_air_local/")).exists() for root in roots
        )
        # A file or a folder beside another one is named without what it is in.
        and not [*(ROOT / "src").rglob(path), *(ROOT / "tests").rglob(path)]
    ]
    assert lost == []
