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
"""Loading: every mistake at once, in the words of its field and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow.providers.databricks_air.run import ConfigError, RunConfig, load_run_config
from tests.unit.run.mistakes import VALID, errors_of, write

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted([*ROOT.glob("docs/examples/*.yaml"), *ROOT.glob("tests/wire/forms/*.yaml")])
EIGHT_MISTAKES = """\
experiment_name: no spaces
compute:
  accelerator_type: GPU_8xH100
  num_accelerators: 12
comand: python train.py
environment:
  unity_catalog_image: main.air.training:prod
  version: 5
env_variables:
  TOKEN: abc
secrets:
  TOKEN: scope/key
max_retries: 3
max_retries: 2
code_source:
  root_path: .
  include_paths: [src, ../other]
permissions:
  - user_name: a@example.com
    level: CAN_VEW
"""


def test_eight_mistakes_give_eight_errors(tmp_path: Path) -> None:
    """One document with eight different mistakes gives eight errors, each with its line."""
    write(tmp_path, train=EIGHT_MISTAKES)
    file = tmp_path / "train.yaml"

    errors = errors_of(file)

    assert [(error.line, error.path) for error in errors] == [
        (1, "experiment_name"),
        (4, "compute.num_accelerators"),
        (5, "comand"),
        (7, "environment.unity_catalog_image"),
        (12, "secrets.TOKEN"),
        (14, "max_retries"),
        (17, "code_source.include_paths[1]"),
        (20, "permissions[0].level"),
    ]
    assert {error.file for error in errors} == {str(file)}


def test_errors_are_rendered_as_a_block() -> None:
    """The text of the error counts the mistakes and has a line for each."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(EIGHT_MISTAKES)
    first, *lines = str(caught.value).splitlines()
    assert first == "The run configuration has 8 errors:"
    assert (
        lines[1] == "  - line 4: compute.num_accelerators: 12 is not a multiple of 8 (GPU_8xH100). Write 16"
    )
    assert len(lines) == 8


def test_misspelt_required_key_is_one_mistake() -> None:
    """A misspelt required key is told once, not also as a missing one."""
    errors = errors_of(VALID.replace("experiment_name", "experimentname"))
    assert [str(error) for error in errors] == [
        "line 1: experimentname: unknown field. Did you mean experiment_name?"
    ]


@pytest.mark.parametrize(
    ("name", "message"), [("none.yaml", "the file does not exist"), ("", "the file is a directory")]
)
def test_unreadable_file_is_told(tmp_path: Path, name: str, message: str) -> None:
    """A file that cannot be read is told with its path."""
    (error,) = errors_of(tmp_path / name)
    assert (error.message, error.file) == (message, str(tmp_path / name))


@pytest.mark.parametrize(
    "source", [None, 42, 10**5000, ["a"], object()], ids=["nothing", "number", "huge", "list", "object"]
)
def test_source_of_another_type_is_told(source: object) -> None:
    """A source that is neither file, text, mapping nor configuration is told with what to pass."""
    (error,) = errors_of(source)
    assert error.hint == "Pass a pathlib.Path, YAML text, a mapping or a RunConfig"


def test_configuration_built_in_python_loads_again() -> None:
    """A configuration that is built by name gives a document that loads to an equal one."""
    config = RunConfig(
        experiment_name="demo",
        compute={"accelerator_type": "GPU_1xA10", "num_accelerators": 1},  # type: ignore[arg-type]
        command="a\nb\n",
        parameters={"a": None, "b": [1, float("inf")], 3: "x"},  # type: ignore[dict-item]
        env_variables={"A": "yes"},
    )
    assert load_run_config(config) == config == load_run_config(config.to_yaml())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_example_is_valid(file: Path) -> None:
    """Every example of a run configuration loads, and so does its effective document."""
    if file.stem == "base":
        pytest.skip("a base, not a whole run configuration")
    config = load_run_config(file)
    assert load_run_config(config.to_yaml(), base_dir=file.parent) == config


EMPTY_KEYS = [
    "env_variables",
    "secrets",
    "parameters",
    "permissions",
    "containers",
    "environment",
    "environment.dependencies",
    "environment.version",
    "environment.docker_image",
    "environment.docker_image.tag_policy",
    "code_source",
    "code_source.git",
    "code_source.type",
    "code_source.include_paths",
    "compute.pool_id",
    "compute.provisioned_capacity_id",
    "max_retries",
    "timeout_minutes",
    "mlflow_run_name",
    "usage_policy_id",
    "_bases_",
]


@pytest.mark.parametrize("path", EMPTY_KEYS)
def test_empty_key_is_absent(path: str) -> None:
    """A key whose children are commented out says nothing, whatever the field."""
    document = VALID.replace("}", ", X}") if path.startswith("compute.") else VALID
    section, _, name = path.partition(".")
    if section == "compute":
        text = document.replace(", X}", f", {name}: }}")
    elif section == "code_source" and name:
        text = f"{VALID}code_source:\n  root_path: .\n  {name}:\n"
    elif path.startswith("environment.docker_image."):
        text = f"{VALID}environment:\n  docker_image:\n    url: i\n    tag_policy:\n"
    elif name:
        text = f"{VALID}{section}:\n  {name}:\n    # - a\n"
    else:
        text = f"{VALID}{section}:\n  # a: 1\n"
    without = "\n".join(
        line for line in text.splitlines() if not line.rstrip().endswith(f"{name or section}:")
    )
    assert load_run_config(text) == load_run_config(without.replace(f", {name}: }}", "}"))


def test_empty_required_key_is_missing() -> None:
    """A required key without a value is missing, and told so."""
    errors = errors_of("experiment_name:\ncompute:\ncommand:\n")
    assert [error.message for error in errors] == ["is required"] * 3
