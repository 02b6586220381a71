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
"""Values that are replaced by path."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.run import load_run_config
from tests.unit.run.mistakes import VALID, errors_of

COUNT = "compute.num_accelerators"
EXAMPLE = "compute.num_accelerators=16"
COMPUTE = "Known in compute: accelerator_type, num_accelerators, pool_id, priority_class"


@pytest.mark.parametrize(
    ("overrides", "field", "value"),
    [
        (["compute.num_accelerators=8"], "compute.num_accelerators", 8),
        ({"compute.num_accelerators": 8}, "compute.num_accelerators", 8),
        (["parameters.a.b=[1, {c: 2}]"], "parameters", {"a": {"b": [1, {"c": 2}]}}),
        (["parameters.lr=1e-3"], "parameters", {"lr": 0.001}),
        ({"parameters.lr": "1e-3"}, "parameters", {"lr": "1e-3"}),
        (["env_variables.LR=1e-3"], "env_variables", {"LR": "1e-3"}),
        (["env_variables.A=b=c"], "env_variables", {"A": "b=c"}),
        (["max_retries=1", "max_retries=2"], "max_retries", 2),
        (["timeout_minutes="], "timeout_minutes", None),
        (["permissions[0].user_name=a", "permissions.0.level=CAN_VIEW"], "permissions.0.level", "CAN_VIEW"),
        (["environment.dependencies[0]=numpy"], "environment.dependencies", ("numpy",)),
        ([" experiment_name =other"], "experiment_name", "other"),
        (["code_source.type=snapshot", "code_source.snapshot.root_path=."], "code_source.root_path", "."),
        ({}, "experiment_name", "demo"),
        (None, "experiment_name", "demo"),
    ],
)
def test_override_replaces_a_value(overrides: Any, field: str, value: object) -> None:
    """An override puts a typed value at its path, also where nothing stood, and shows in the document."""
    config = load_run_config(VALID, overrides=overrides)
    again = load_run_config(config.to_yaml())
    for found in (config, again):
        here: Any = found
        for name in field.split("."):
            here = here[int(name)] if name.isdecimal() else getattr(here, name)
        assert here == value


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["compute.gpus=8"], "compute.gpus: is not a field any more. Write num_accelerators"),
        (
            ["compute.num_acelerators=8"],
            "compute.num_acelerators: compute has no field 'num_acelerators'. Did you mean num_accelerators? "
            + COMPUTE,
        ),
        (
            ["max_retries.x=1"],
            "max_retries.x: max_retries holds one value, nothing is below it. Address max_retries itself",
        ),
        (
            ["permissions.level=x"],
            "permissions.level: permissions is a list, 'level' is not a position. "
            "Write permissions[0] for the first item",
        ),
        (
            ["permissions[1].level=x"],
            "permissions[1].level: the list has 0 items. Positions count from 0; 0 appends one",
        ),
        (["max_retries"], "'max_retries' is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        (
            ["other.yaml"],
            "'other.yaml' is not an override. Write KEY=VALUE, such as "
            + EXAMPLE
            + "; the file itself is not an override",
        ),
        (["=1"], "'=1' is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        ([7], "7 is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        (["a..b=1"], "a..b: is not a path. Write names with dots, such as " + COUNT),
        (
            "max_retries=1",
            "overrides must be a mapping or a list, not 'max_retries=1'. "
            'Write {"compute.num_accelerators": 16} or ["compute.num_accelerators=16"]',
        ),
        (["max_retries=-1"], "max_retries: -1 is less than 0. Write a number of at least 0"),
        (
            {"compute.num_accelerators": 3},
            "compute.num_accelerators: 3 is not a multiple of 8 (GPU_8xH100). Write 8",
        ),
        (
            {"parameters.a": object()},
            "parameters.a: a value of type object cannot be written in YAML. "
            "Use text, a number, true or false, a list or a mapping",
        ),
    ],
)
def test_wrong_override_is_told(overrides: Any, told: str) -> None:
    """An override that cannot be applied, or that breaks a rule, is told as an override."""
    assert [str(error) for error in errors_of(VALID, overrides=overrides)] == [f"override: {told}"]


def test_overridden_alias_leaves_its_source_alone() -> None:
    """An override below an alias does not change what the alias repeats."""
    document = VALID + "parameters: {a: &a {x: 1}, b: *a}\n"
    assert load_run_config(document, overrides=["parameters.b.x=2"]).parameters == {
        "a": {"x": 1},
        "b": {"x": 2},
    }


@pytest.mark.parametrize("path", ["parameters.layers.0", "parameters.layers[0]"])
def test_position_in_a_free_list_changes_the_item(path: str) -> None:
    """A position in a list of parameters changes that item, however it is written."""
    document = VALID + "parameters: {layers: [64, 64]}\n"
    assert load_run_config(document, overrides=[f"{path}=32"]).parameters == {"layers": [32, 64]}
    assert load_run_config(document, overrides={path: 32}).parameters == {"layers": [32, 64]}


def test_name_below_a_free_list_is_an_error() -> None:
    """A name is no position: the list stays, and the override is told."""
    document = VALID + "parameters: {layers: [64, 64]}\n"
    (error,) = errors_of(document, overrides=["parameters.layers.lr=1"])
    assert error.message == "parameters.layers is a list, 'lr' is not a position"


def test_digits_below_a_mapping_are_a_key() -> None:
    """Digits name a key where a mapping stands, and where nothing stood."""
    document = VALID + "parameters: {steps: {0: a}}\n"
    config = load_run_config(document, overrides=["parameters.steps.0=b", "parameters.new.1=c"])
    assert config.parameters == {"steps": {0: "b"}, "new": {"1": "c"}}
