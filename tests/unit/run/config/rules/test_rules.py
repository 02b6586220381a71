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
"""Every rule of the run configuration, with the words in which it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow.providers.databricks_air.run import ConfigError, RunConfig, load_run_config

RULES = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8"))
VALID: dict[str, Any] = {
    "experiment_name": "demo",
    "compute": {"accelerator_type": "GPU_8xH100", "num_accelerators": 16},
    "command": "python train.py",
}
POOL = {**VALID["compute"], "pool_id": "p"}
CONTAINER = {"name": "a", "command": "x", "ranks": [0, 1], "unity_catalog_image": "c.s.i:t"}
UUID = "12345678-90AB-cdef-1234-567890abcdef"


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """Return the valid document with *change* in it; None removes a required key."""
    return {key: value for key, value in {**VALID, **change}.items() if value is not None or key not in VALID}


def told(document: object) -> list[str]:
    """Return what the loader says about *document*."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(document)  # type: ignore[arg-type]
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["case"])
def test_broken_rule_is_told(rule: dict[str, Any]) -> None:
    """A broken rule gives exactly the errors of the table."""
    assert told(changed(rule["change"])) == rule["errors"]


@pytest.mark.parametrize(
    ("change", "path", "size", "limit"),
    [
        ({"experiment_name": "a" * 101}, "experiment_name", 101, 100),
        ({"mlflow_run_name": "a" * 101}, "mlflow_run_name", 101, 100),
        ({"compute": {**POOL, "pool_id": "p" * 256}}, "compute.pool_id", 256, 255),
        ({"idempotency_token": "t" * 65}, "idempotency_token", 65, 64),
        ({"usage_policy_name": "u" * 128}, "usage_policy_name", 128, 127),
        ({"command": None, "containers": [{**CONTAINER, "name": "n" * 17}]}, "containers[0].name", 17, 16),
    ],
)
def test_too_long_text_is_told(change: dict[str, Any], path: str, size: int, limit: int) -> None:
    """A text over its limit is told with its length and the limit."""
    assert told(changed(change)) == [f"{path}: has {size} characters, the limit is {limit}. Shorten it"]


def test_too_many_lines_are_told() -> None:
    """A command of more than 1000 lines is told; one of 1000 lines with a line break at its end is not."""
    load_run_config(changed({"command": "x\n" * 1000}))

    errors = told(changed({"command": "x\n" * 1001}))

    hint = "Put the script into the code source and call it"
    assert errors == [f"command: has 1001 lines, the limit is 1000. {hint}"]


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"experiment_name": "a" * 100}, "experiment_name", "a" * 100),
        ({"experiment_name": 2024}, "experiment_name", "2024"),
        ({"compute": {**POOL, "pool_id": " p "}}, "compute.pool_id", "p"),
        ({"compute": {**POOL, "pool_id": "p" * 255}}, "compute.pool_id", "p" * 255),
        ({"compute": {**POOL, "priority_class": " critical "}}, "compute.priority_class", "CRITICAL"),
        ({"compute": {**VALID["compute"], "num_accelerators": "8"}}, "compute.num_accelerators", 8),
        ({"environment": {"version": 5}}, "environment.version", "5"),
        ({"environment": {"version": "Databricks_AI_v5"}}, "environment.version", "databricks_ai_v5"),
        ({"environment": {"dependencies": []}}, "environment.dependencies", ()),
        (
            {"environment": {"dependencies": ["-r /Workspace/r.txt"]}},
            "environment.dependencies",
            ("-r /Workspace/r.txt",),
        ),
        ({"containers": []}, "containers", ()),
        ({"command": None, "containers": [CONTAINER]}, "containers.0.ranks", (0, 1)),
        (
            {"env_variables": {"A": 1, "B": 1.5, "C": True, "D": None}},
            "env_variables",
            {"A": "1", "B": "1.5", "C": "true", "D": ""},
        ),
        ({"max_retries": 0}, "max_retries", 0),
        ({}, "max_retries", 3),
        ({}, "timeout_minutes", None),
        ({"timeout_minutes": None}, "timeout_minutes", None),
        ({"idempotency_token": " t "}, "idempotency_token", "t"),
        ({"mlflow_experiment_directory": " /Workspace/a"}, "mlflow_experiment_directory", "/Workspace/a"),
        ({"mlflow_artifact_location": "/Volumes/a/b/c"}, "mlflow_artifact_location", "dbfs:/Volumes/a/b/c"),
        ({"mlflow_artifact_location": "DBFS:/x"}, "mlflow_artifact_location", "dbfs:/x"),
        ({"usage_policy_id": f" {UUID} "}, "usage_policy_id", UUID),
        (
            {"code_source": {"root_path": "$HOME/x", "include_paths": [" a "]}},
            "code_source.include_paths",
            ("a",),
        ),
        ({"code_source": {"root_path": "$HOME/x"}}, "code_source.root_path", "$HOME/x"),
    ],
)
def test_accepted_value_is_normalised(change: dict[str, Any], field: str, value: object) -> None:
    """A value that is within the rules loads, in its one spelling."""
    found: Any = load_run_config(changed(change))
    for name in field.split("."):
        found = found[int(name)] if name.isdecimal() else getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("kind", "count", "nodes"),
    [("GPU_1xA10", 3, 3), ("GPU_1xH100", 2, 2), ("GPU_8xH100", 16, 2), ("GPU_8xB300", 8, 1)],
)
def test_nodes_of_an_accelerator_type(kind: str, count: int, nodes: int) -> None:
    """The node count is the accelerators divided by those of one node."""
    config = load_run_config(changed({"compute": {"accelerator_type": kind, "num_accelerators": count}}))
    assert config.node_count == nodes


def test_every_field_has_documentation() -> None:
    """No field is without the text that the reference and the command line show."""
    from airflow.providers.databricks_air.run.config.schema.fields import all_fields

    assert [field.path for field in all_fields() if not field.text] == []


def test_built_by_name_tells_everything() -> None:
    """A configuration that is built in Python raises the same errors, all at once."""
    with pytest.raises(ConfigError) as caught:
        RunConfig(
            experiment_name="a b",
            compute={"accelerator_type": "a10", "num_accelerators": 0},  # type: ignore[arg-type]
            comand="x",  # type: ignore[call-arg]
        )
    assert {error.path for error in caught.value.errors} == {
        "experiment_name",
        "compute.accelerator_type",
        "compute.num_accelerators",
        "comand",
    }


def test_configuration_cannot_be_changed() -> None:
    """A configuration is frozen; a changed copy is a new one with a document of its own."""
    config = load_run_config(VALID)
    with pytest.raises(Exception, match="frozen"):
        config.max_retries = 1

    copy = config.model_copy(update={"max_retries": 1})

    assert "max_retries: 1" in copy.to_yaml()
    assert "max_retries" not in config.to_yaml()


def test_secret_is_never_shown() -> None:
    """The error about a secret that stands where its reference belongs does not repeat it."""
    assert "hunter2" not in "".join(told(changed({"secrets": {"TOKEN": "hunter2"}})))
