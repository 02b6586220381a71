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
"""Older forms that still load."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow.providers.databricks_air.run import load_run_config
from tests.unit.run.mistakes import VALID, errors_of, write


def test_older_forms_load_with_a_line_of_advice(tmp_path: Path) -> None:
    """Older forms give today's configuration, and each says what to write instead."""
    write(tmp_path, requirements="version: 5\ndependencies: [torch==2.3.0]\n")
    document = (
        "experiment_name: demo\ncommand: x\n"
        "compute: {accelerator_type: GPU_8xH100, num_accelerators: 8, "
        "provisioned_capacity_id: p, priority_class: normal}\n"
        "environment: {dependencies: requirements.yaml}\n"
        "code_source: {type: snapshot, snapshot: {root_path: ., git: {branch: main, remote: false}}}\n"
    )
    config = load_run_config(document, base_dir=tmp_path)

    assert (config.compute.pool_id, config.compute.priority_class) == ("p", "NORMAL")
    assert (config.environment.version, config.environment.dependencies) == ("5", ("torch==2.3.0",))
    assert config.code_source is not None
    assert config.code_source.git is not None
    assert config.code_source.git.branch == "main"
    assert {old.path: old.hint for old in config.deprecations} == {
        "compute.provisioned_capacity_id": "Write compute.pool_id",
        "code_source.type": "Remove it; every code source is a snapshot",
        "code_source.snapshot": "Write its fields directly under code_source",
        "code_source.snapshot.git.remote": "Remove it; the local repository is packed: fetch first, then name the branch or the commit",
        "environment.dependencies": "Write the lines of the file as a list",
    }
    # The document keeps the form of its author, but no longer needs the other file.
    assert "snapshot:" in config.to_yaml()
    assert load_run_config(config.to_yaml()) == config


def test_mistake_in_an_older_form_keeps_its_place() -> None:
    """A mistake inside a wrapped code source is told with the path and the line of the source."""
    document = (
        VALID + "code_source:\n  type: snapshot\n  snapshot:\n    root_path: .\n    remote_volume: /x\n"
    )
    errors = errors_of(document)
    assert [(error.line, error.path) for error in errors] == [(8, "code_source.snapshot.remote_volume")]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (
            "dependencies: [numpy, -r other.txt]\n",
            1,
            "'-r other.txt' names a second file, which the run would not find",
        ),
        ("python: 3\n", None, "unknown field python"),
        ("- numpy\n", None, "must be a mapping with version and dependencies"),
    ],
)
def test_wrong_requirements_file_is_told(
    tmp_path: Path, content: str, line: int | None, message: str
) -> None:
    """A mistake in a requirements file is told with that file."""
    write(tmp_path, req=content)
    (error,) = errors_of(VALID + "environment: {dependencies: req.yaml}\n", base_dir=tmp_path)
    assert (error.file, error.line, error.message) == (str(tmp_path / "req.yaml"), line, message)
