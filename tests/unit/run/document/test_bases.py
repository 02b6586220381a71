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
"""Files that other files start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow.providers.databricks_air.run import load_run_config
from tests.unit.run.mistakes import VALID, errors_of, write


def test_bases_are_merged_from_left_to_right(tmp_path: Path) -> None:
    """Bases merge mapping by mapping, later ones win, the file wins over all, and the key is gone."""
    write(
        tmp_path,
        one=VALID + "parameters: {a: 1, b: {x: 1, y: 1}}\nmax_retries: 1\n",
        two="parameters: {b: {y: 2}, c: [1]}\nmax_retries: 2\n",
        top="_bases_: [one.yaml, two.yaml]\nparameters: {c: [2]}\n",
    )
    config = load_run_config(tmp_path / "top.yaml")
    assert config.parameters == {"a": 1, "b": {"x": 1, "y": 2}, "c": [2]}
    assert config.max_retries == 2
    assert "_bases_" not in config.to_yaml()


def test_bases_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    """A base may have bases, relative to itself; a mapping's bases start at base_dir."""
    (tmp_path / "deep").mkdir()
    write(tmp_path, top="_bases_: [deep/mid.yaml]\n", root=VALID)
    write(tmp_path / "deep", mid="_bases_: [../root.yaml]\nmax_retries: 1\n")
    assert load_run_config(tmp_path / "top.yaml").max_retries == 1
    assert load_run_config({"_bases_": ["top.yaml"]}, base_dir=tmp_path).max_retries == 1


def test_error_in_a_base_names_its_file(tmp_path: Path) -> None:
    """A mistake in a base is told with the file and the line of the base."""
    write(tmp_path, base=VALID + "max_retries: -1\n", top="_bases_: [base.yaml]\ntimeout_minutes: 0\n")
    errors = errors_of(tmp_path / "top.yaml")
    assert [(error.file, error.line) for error in errors] == [
        (str(tmp_path / "top.yaml"), 2),
        (str(tmp_path / "base.yaml"), 4),
    ]


def test_circle_of_bases_is_told_with_the_chain(tmp_path: Path) -> None:
    """Files that name each other in a circle are told with the whole chain."""
    write(tmp_path, a="_bases_: [b.yaml]\n" + VALID, b="_bases_: [a.yaml]\n")
    (error,) = errors_of(tmp_path / "a.yaml")
    chain = " → ".join(str(tmp_path / name) for name in ("a.yaml", "b.yaml", "a.yaml"))
    assert error.message == f"the files name each other in a circle: {chain}"
    assert (error.file, error.line) == (str(tmp_path / "b.yaml"), 1)


@pytest.mark.parametrize("bases", ["base.yaml", "[1]", "{a: b}"])
def test_bases_must_be_a_list_of_files(bases: str) -> None:
    """Anything but a list of file names under _bases_ is told."""
    errors = errors_of(f"_bases_: {bases}\n{VALID}")
    assert [str(error) for error in errors] == [
        "line 1: _bases_: must be a list of YAML files. Write _bases_: [base.yaml]"
    ]


def test_missing_base_is_told_where_it_is_named(tmp_path: Path) -> None:
    """A base that does not exist is told with the line that names it, beside the other mistakes."""
    write(tmp_path, top=VALID + "max_retries: -1\n_bases_:\n  - gone.yaml\n")
    errors = errors_of(tmp_path / "top.yaml")
    assert [(error.line, error.message) for error in errors] == [
        (4, "-1 is less than 0"),
        (6, f"the file {tmp_path / 'gone.yaml'} does not exist"),
    ]


def test_diamond_of_bases_is_read_once_each(tmp_path: Path) -> None:
    """Bases that share bases thirty levels deep load at once."""
    write(tmp_path, f0=VALID)
    for level in range(1, 30):
        write(tmp_path, **{f"f{level}": f"_bases_: [f{level - 1}.yaml, f{level - 1}.yaml]\n"})
    assert load_run_config(tmp_path / "f29.yaml").experiment_name == "demo"
