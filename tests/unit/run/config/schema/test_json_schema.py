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
"""The JSON Schema says what the loader says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow.providers.databricks_air.run import ConfigError, load_run_config
from airflow.providers.databricks_air.run.config.schema.json_schema import json_schema
from tests.unit.run.config.rules.test_rules import CONTAINER, RULES, UUID, VALID, changed

ROOT = Path(__file__).resolve().parents[5]
FORMS = sorted([*ROOT.glob("tests/wire/forms/*.yaml"), *ROOT.glob("docs/examples/*.yaml")])

#: Cases whose mistake a JSON Schema cannot see: it does not compare values with each other.
UNSEEN = {
    "num_accelerators multiple of digits in quotes": "JSON Schema does not calculate with text",
    "container name twice": "names are compared with each other",
    "container rank out of range": "ranks are compared with the number of nodes",
    "container rank owned twice": "ranks are compared with each other",
    "container rank unowned": "ranks are compared with the number of nodes",
    "secrets in env_variables": "the keys of two mappings are compared",
}


def _ecma_pattern(
    validator: Any, pattern: str, instance: object, schema: object
) -> Iterator[jsonschema.ValidationError]:
    """Check a pattern as JSON Schema means it: ``$`` is the end, not also the line break before it."""
    ended = re.sub(r"(?<!\\)\$(?=$|\))", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(ended, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _ecma_pattern})


@pytest.fixture(scope="module")
def schema() -> Any:
    """Return a validator of the JSON Schema."""
    found = json_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return Validator(found)


def is_valid(document: object, directory: Path | None = None) -> bool:
    """Return what the loader says."""
    try:
        load_run_config(document, base_dir=directory)  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["case"])
def test_schema_refuses_what_the_loader_refuses(schema: Any, rule: dict[str, Any]) -> None:
    """A broken rule is broken for the JSON Schema, too, unless no schema could see it."""
    assert schema.is_valid(changed(rule["change"])) == (rule["case"] in UNSEEN)


@pytest.mark.parametrize("file", FORMS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_schema_agrees_on_every_form(schema: Any, file: Path) -> None:
    """Every form of the wire tests and every example has the same verdict; bases are seen alone."""
    document = yaml.safe_load(file.read_text("utf-8"))
    assert schema.is_valid(document) == is_valid(document, file.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"experiment_name": 2024},
        {"experiment_name": 1.5},
        {"experiment_name": True},
        {"command": 7},
        {"command": None},
        {"max_retries": "3"},
        {"max_retries": 2.0},
        {"max_retries": "x"},
        {"compute": {"accelerator_type": "GPU_8xH100", "num_accelerators": "16"}},
        {"compute": {"accelerator_type": "GPU_8xH100"}},
        {"compute": {**VALID["compute"], "pool_id": 7, "priority_class": " best_Effort "}},
        {"compute": {**VALID["compute"], "priority_class": "normal"}},
        {"environment": {"version": 5}},
        {"environment": {"version": -5}},
        {"environment": {"version": "Databricks_AI_v05"}},
        {"environment": {"version": "databricks_ai_v4"}},
        {"environment": {"dependencies": [1, True]}},
        {"environment": {"dependencies": None}},
        {"environment": {"dependencies": [None]}},
        {"environment": None},
        {"environment": {"unity_catalog_image": "c.s.i:t", "dependencies": [], "version": None}},
        {"env_variables": {"A": 1, "B": None, "C": 1.5, "D": False}},
        {"env_variables": {"A": []}},
        {"secrets": {"A": "/k"}},
        {"secrets": {"A": None}},
        {"usage_policy_id": f" {UUID} "},
        {"usage_policy_name": 12},
        {"command": None, "containers": [CONTAINER]},
        {"containers": []},
        {"permissions": [{"user_name": 7, "level": " CAN_VIEW "}]},
        {"permissions": [{"user_name": "a", "group_name": None, "level": "CAN_VIEW"}]},
        {"code_source": {"root_path": "$HOME", "git": {"branch": "a/b.c_d-e", "commit": None}}},
        {
            "code_source": {
                "type": "snapshot",
                "snapshot": {"root_path": ".", "git": {"branch": "a", "remote": False}},
            }
        },
        {"code_source": {"snapshot": {"remote_volume": "/Volumes/x"}}},
        {"code_source": {"root_path": ".", "include_paths": ["a/..", "b"]}},
        {"code_source": {"root_path": ".", "include_paths": ["..a/b..", " c "]}},
        {"code_source": {"root_path": "a\0b"}},
        {"mlflow_artifact_location": "DbFs:/x"},
        {"mlflow_experiment_directory": " /Workspace/x"},
        {"mlflow_run_name": " a "},
        {"command": "x\n" * 1000},
        {"command": "x\n" * 1001},
        {"timeout_minutes": 2**31},
    ],
    ids=str,
)
def test_schema_agrees_on_types_and_spellings(schema: Any, change: dict[str, Any]) -> None:
    """Numbers where text is meant, text where numbers are, empty keys and odd spellings have the same verdict."""
    document = {**VALID, **change}
    assert schema.is_valid(document) == is_valid(document)


@pytest.mark.parametrize(
    "child",
    [
        {"_bases_": ["base.yaml"], "compute": {"num_accelerators": 8}},
        {"_bases_": ["base.yaml"], "code_source": {"include_paths": ["a"]}},
        {"_bases_": ["base.yaml"], "compute": {"priority_class": "NORMAL"}},
        {"_bases_": ["base.yaml"]},
        {"_bases_": ["base.yaml"], "compute": {"gpus": 8}},
        {"_bases_": ["base.yaml"], "environment": {"unity_catalog_image": "c.s.i:t", "version": 5}},
        {"_bases_": ["base.yaml"], "permissions": [{"level": "CAN_VIEW"}]},
        {"_bases_": None},
        {"_bases_": None, **VALID},
        {"_bases_": [7]},
    ],
    ids=str,
)
def test_schema_agrees_on_files_that_start_from_bases(
    schema: Any, tmp_path: Path, child: dict[str, Any]
) -> None:
    """A file with bases may leave to them what a whole document needs, and nothing else."""
    base = {**VALID, "compute": {**VALID["compute"], "pool_id": "p"}, "code_source": {"root_path": "."}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    assert schema.is_valid(child) == is_valid(child, tmp_path)
