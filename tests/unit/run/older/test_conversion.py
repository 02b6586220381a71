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
"""Conversion of older forms and of MosaicML runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow.providers.databricks_air.run import ConfigError, RunConfig, load_run_config
from airflow.providers.databricks_air.run.older.conversion import Conversion, convert_file

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FILES = [path for path in sorted(EXAMPLES.rglob("*.yaml")) if path.stem != "requirements"]


def convert(directory: Path, text: str) -> tuple[Conversion, RunConfig]:
    """Convert a text and load the result."""
    (directory / "run.yaml").write_text(text, encoding="utf-8")
    result = convert_file(directory / "run.yaml")
    return result, load_run_config(result.text, base_dir=directory)


def leaves(value: Any) -> list[str]:
    """Return the text of every scalar in *value*."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in leaves(item)]
    if isinstance(value, list):
        return [text for item in value for text in leaves(item)]
    return [str(value)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_result_validates(file: Path) -> None:
    """What comes out of a conversion is a valid run configuration without older forms but its Docker image."""
    config = load_run_config(convert_file(file).text, base_dir=file.parent)
    assert {old.path for old in config.deprecations} <= {"environment.docker_image"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_nothing_is_dropped_silently(file: Path) -> None:
    """Every value of the source stands in the result, in its comments, or in a note about its field."""
    result = convert_file(file)
    source = yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader)
    carried = result.text.replace("\n#", "\n").replace('"', "").replace("'", "")
    noted = {note.path.split(".")[-1].split("[")[0] for note in result.notes}
    for field, value in source.items():
        for text in leaves(value):
            words = [word.strip("'\"") for line in text.splitlines() for word in line.split()]
            assert all(word in carried for word in words) or noted & {field, *_keys(value)}, (field, text)


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in _keys(item)}
    return {key for item in value for key in _keys(item)} if isinstance(value, list) else set()


def test_result_converts_to_itself(tmp_path: Path) -> None:
    """A file in today's form is left as it is, without notes."""
    text = (EXAMPLES.parents[1] / "docs/examples/train.yaml").read_text("utf-8")
    result, config = convert(tmp_path, text)
    assert result.notes == ()
    assert config == load_run_config(text, base_dir=tmp_path)


@pytest.mark.parametrize(
    ("compute", "kind", "count"),
    [
        ("gpus: 16, gpu_type: h100_80gb", "GPU_8xH100", 16),
        ("gpus: 12, gpu_type: h100_80gb", "GPU_8xH100", 16),
        ("gpus: 4, gpu_type: h100_80gb", "GPU_8xH100", 8),
        ("gpus: 1, gpu_type: h100", "GPU_1xH100", 1),
        ("gpus: 4, gpu_type: a10", "GPU_1xA10", 4),
        ("gpus: 8, gpu_type: a100_80gb", "GPU_8xH100", 8),
        ("gpus: 8, gpu_type: b300", "GPU_8xB300", 8),
        ("gpus: 9, gpu_type: b300", "GPU_8xB300", 16),
        ("nodes: 2, gpu_type: h100", "GPU_8xH100", 16),
        ("nodes: 2, gpus: 8", "GPU_8xH100", 8),
        ("gpus: 0, cpus: 4", "GPU_1xA10", 1),
        ("cluster: r1", "GPU_1xA10", 1),
    ],
)
def test_mosaic_compute(tmp_path: Path, compute: str, kind: str, count: int) -> None:
    """GPUs and nodes become accelerators of the nearest type that is offered."""
    result, config = convert(tmp_path, f"name: a\nimage: i\ncommand: x\ncompute: {{{compute}}}\n")
    assert (config.compute.accelerator_type, config.compute.num_accelerators) == (kind, count)
    if "a100" in compute:
        assert [note.path for note in result.notes if note.lost] == ["compute.gpu_type"]


@pytest.mark.parametrize(
    ("compute", "line", "note"),
    [
        (
            "gpus: 4, gpu_type: h100_80gb",
            "num_accelerators: 8  # 4 accelerators on 1 node became 8 accelerators on 1 node (GPU_8xH100); "
            "for 4 nodes of 1 each write GPU_1xH100 and 4",
            "compute",
        ),
        (
            "gpus: 4, gpu_type: a10",
            "num_accelerators: 4  # 4 accelerators on 1 node became 4 accelerators on 4 nodes (GPU_1xA10); "
            "every node runs the command",
            "compute",
        ),
        ("gpus: 8, gpu_type: h100", "num_accelerators: 8", ""),
        ("gpus: 1, gpu_type: h100", "num_accelerators: 1", ""),
    ],
)
def test_change_of_nodes_stands_beside_its_line(tmp_path: Path, compute: str, line: str, note: str) -> None:
    """Where the nodes of the result are others than those of the source, the line and a note say so."""
    result, _ = convert(tmp_path, f"name: a\nimage: i\ncommand: x\ncompute: {{{compute}}}\n")
    assert f"    {line}\n" in result.text
    assert [item.path for item in result.notes if "became" in item.advice] == ([note] if note else [])


def test_older_h100_of_half_a_node_is_a_node(tmp_path: Path) -> None:
    """An older H100 cluster had nodes of eight: four accelerators of it are one node."""
    _, config = convert(tmp_path, "experiment_name: a\ncommand: x\ncompute: {gpus: 4, gpu_type: h100_80gb}\n")
    assert (config.compute.accelerator_type, config.compute.num_accelerators) == ("GPU_8xH100", 8)


@pytest.mark.parametrize(
    ("scheduling", "retries", "minutes"),
    [
        ("max_retries: 4, max_duration: 1.5", 4, 90),
        ("max_duration: 0.001", 0, 1),
        ("retry_on_system_failure: true", 1, None),
        ("retry_on_system_failure: false", 0, None),
        ("retry_on_system_failure: true, max_retries: 2", 2, None),
    ],
)
def test_mosaic_scheduling(tmp_path: Path, scheduling: str, retries: int, minutes: int | None) -> None:
    """Retries keep their number, none where none were asked for, and hours become minutes."""
    _, config = convert(tmp_path, f"name: a\nimage: i\ncommand: x\nscheduling: {{{scheduling}}}\n")
    assert (config.max_retries, config.timeout_minutes) == (retries, minutes)


def test_mosaic_experiment_names_the_run(tmp_path: Path) -> None:
    """The MLflow experiment gives name and directory, and the name of the run becomes that of the MLflow run."""
    tracker = "experiment_tracker: {mlflow: {experiment_path: /Users/a@b.c/exp}}\n"
    _, config = convert(tmp_path, f"name: run\nimage: i\ncommand: x\n{tracker}")
    assert (config.experiment_name, config.mlflow_run_name) == ("exp", "run")
    assert config.mlflow_experiment_directory == "/Workspace/Users/a@b.c"


def test_mosaic_packages_without_an_image_are_dependencies(tmp_path: Path) -> None:
    """Packages are dependencies where no image stands in the way, and a line of the command where one does."""
    integrations = (
        "integrations:\n  - {integration_type: pip_packages, packages: [a]}\n"
        "  - {integration_type: pip_packages, packages: [b]}\n"
    )
    _, config = convert(tmp_path, f"name: run\ncommand: x\n{integrations}")
    assert config.environment.dependencies == ("a", "b")
    _, config = convert(tmp_path, f"name: run\nimage: i\ncommand: x\n{integrations}")
    assert config.environment.dependencies == ()
    assert config.command == "pip install b\npip install a\nx"


def test_older_variables_are_gathered(tmp_path: Path) -> None:
    """Variables and secrets of former places join those of today's place; a name that is taken is told."""
    text = (
        "experiment_name: a\ncommand: x\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
        "env_variables: {A: 1e-3}\nenvironment: {env_variables: {A: b, C: d}}\nenv_variables_secrets: {S: s/k}\n"
    )
    result, config = convert(tmp_path, text)
    assert config.env_variables == {"A": "1e-3", "C": "d"}
    assert config.secrets == {"S": "s/k"}
    assert [note.path for note in result.notes] == ["environment.env_variables.A"]


def test_comments_of_the_result_name_what_is_lost(tmp_path: Path) -> None:
    """What has no counterpart stands in the comments of the result, with its value and what to do."""
    result, _ = convert(tmp_path, "name: a\nimage: i\ncommand: x\nmetadata:\n  run_type: test\n")
    assert (
        "# - metadata:\n#     run_type: test\n#     → Log it as MLflow tags in the command\n" in result.text
    )


def test_odd_texts_stay_in_their_comment(tmp_path: Path) -> None:
    """A key or a value that breaks a line, or cannot be printed, does not get out of its comment; nothing is cut."""
    text = (
        'name: a\nimage: i\ncommand: x\n"me\\nta: x": 1\n"b\\x8b\\e[1m": [1]\n'
        f'integrations: [{{integration_type: git_repo, git_repo: "o\\nr: y"}}]\nlong: {"z" * 1000}\n'
    )
    result, config = convert(tmp_path, text)
    assert config.experiment_name == "a"
    assert "# - me\\nta: x: 1\n" in result.text
    assert f"# - long: {'z' * 1000}\n" in result.text


KEYS = st.sampled_from(["gpus", "name", "a\nb: c", "\x8b", "é", ""]) | st.text(max_size=4)
VALUES = st.none() | st.booleans() | st.integers(-2, 99) | st.floats() | KEYS
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
MOSAIC = st.fixed_dictionaries(
    {"name": st.just("a")},
    optional={
        "command": NESTED,
        "image": NESTED,
        "compute": NESTED | st.fixed_dictionaries({"gpus": NESTED, "gpu_type": NESTED, "nodes": NESTED}),
        "scheduling": NESTED | st.fixed_dictionaries({"max_retries": NESTED, "max_duration": NESTED}),
        "parameters": NESTED,
        "integrations": NESTED | st.lists(st.dictionaries(KEYS, NESTED, max_size=3), max_size=2),
        "experiment_tracker": NESTED | st.fixed_dictionaries({"mlflow": NESTED, "wandb": NESTED}),
        "metadata": NESTED,
        "of no meaning": NESTED,
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(MOSAIC)
def test_result_is_always_readable(tmp_path: Path, document: dict[str, Any]) -> None:
    """Whatever a MosaicML run holds, the result is YAML, and its mistakes are those of single fields."""
    source = tmp_path / "run.yaml"
    source.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        text = convert_file(source).text
    except ConfigError as error:
        assert "not valid YAML" in str(error) or "surrogate" in str(error)
        return
    try:
        load_run_config(text, base_dir=tmp_path)
    except ConfigError as error:
        assert all(mistake.path for mistake in error.errors), error
