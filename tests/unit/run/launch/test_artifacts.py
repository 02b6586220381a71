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
"""The files of a launch directory, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from airflow.providers.databricks_air.run import ConfigError, RunConfig
from airflow.providers.databricks_air.run.launch.artifacts import build_artifacts

COMPUTE = {"accelerator_type": "GPU_1xA10", "num_accelerators": 2}


def files(**fields: Any) -> dict[str, bytes]:
    """Return the artifacts of a configuration by path."""
    base = {"experiment_name": "demo", "compute": COMPUTE}
    config = (
        RunConfig(**(base | fields))
        if "containers" in fields
        else RunConfig(**(base | {"command": "x"} | fields))
    )
    return {artifact.path: artifact.content for artifact in build_artifacts(config)}


def container(name: str, rank: int, **variables: str) -> dict[str, Any]:
    """Return one container of a configuration."""
    return {
        "name": name,
        "command": f"run {name}",
        "ranks": [rank],
        "unity_catalog_image": "main.ml.image:1",
        "environment_variables": {"variables": variables},
    }


def test_only_what_is_configured() -> None:
    """A small configuration has two files."""
    assert set(files()) == {"training_config.yaml", "command.sh"}


@pytest.mark.parametrize("command", ["python train.py", "a\n\n", "  #!/bin/sh\ncafé \\ \"'\n", "x\r\ny"])
def test_command_is_verbatim(command: str) -> None:
    """The command is written as it is: no line is added, nothing is trimmed."""
    assert files(command=command)["command.sh"] == command.encode()


def test_variables_are_sorted_and_compact() -> None:
    """Variables are a compact JSON array, sorted by name; secrets are split into scope and key."""
    found = files(env_variables={"b": "2", "A": 'ü\n"', "a": ""}, secrets={"Z": "s/k", "Y": "scope/key.x"})
    assert found["env_vars.json"] == (
        '[{"name":"A","value":"ü\\n\\""},{"name":"a","value":""},{"name":"b","value":"2"}]'.encode()
    )
    assert json.loads(found["secret_env_vars.json"]) == [
        {"name": "Y", "secret_scope": "scope", "secret_key": "key.x"},
        {"name": "Z", "secret_scope": "s", "secret_key": "k"},
    ]


HYPERPARAMETERS = """\
data:
    - name: a
      shards:
        - 1
        - 2
    - - nested
      - name: b
        options:
            shuffle: true
date: "2024-01-01"
empty: {}
lr: 0.001
name: "on"
none: []
notes: |
    first line
    second line
z:
    a: true
    b:
        - 1
        - x: null
          y: 1
"""


def test_parameters_are_sorted() -> None:
    """Parameters are YAML with sorted keys and indents of four, to the byte, and read back as they were."""
    parameters = {
        "z": {"b": [1, {"y": 1, "x": None}], "a": True},
        "lr": 1e-3,
        "name": "on",
        "date": "2024-01-01",
        "notes": "first line\nsecond line\n",
        "none": [],
        "empty": {},
        "data": [{"name": "a", "shards": [1, 2]}, ["nested", {"name": "b", "options": {"shuffle": True}}]],
    }
    text = files(parameters=parameters)["hyperparameters.yaml"]
    assert text.decode() == HYPERPARAMETERS
    assert yaml.safe_load(text) == parameters


def test_containers() -> None:
    """Each container has its own files; what it says itself wins, whether it is a secret or not."""
    found = files(
        containers=[
            container(
                "inference", 0, OVERRIDE="own", TOKEN="{{secrets/research/hf}}", SECRET_TO_PLAIN="plain"
            ),
            container("trainer", 1, PLAIN_TO_SECRET="{{secrets/s/k}}"),
        ],
        env_variables={"SHARED": "top", "OVERRIDE": "top", "PLAIN_TO_SECRET": "top"},
        secrets={"SHARED_SECRET": "scope/shared", "SECRET_TO_PLAIN": "scope/x"},
        parameters={"lr": 1},
    )

    def names(path: str) -> dict[str, str]:
        return {
            entry["name"]: entry.get("value", entry.get("secret_key")) for entry in json.loads(found[path])
        }

    assert set(found) == {"training_config.yaml", "hyperparameters.yaml"} | {
        f"containers/{name}/{file}"
        for name in ("inference", "trainer")
        for file in ("command.sh", "env_vars.json", "secret_env_vars.json", "hyperparameters.yaml")
    }
    assert names("containers/inference/env_vars.json") == {
        "SHARED": "top", "OVERRIDE": "own", "PLAIN_TO_SECRET": "top", "SECRET_TO_PLAIN": "plain"
    }  # fmt: skip
    assert names("containers/inference/secret_env_vars.json") == {"SHARED_SECRET": "shared", "TOKEN": "hf"}
    assert names("containers/trainer/env_vars.json") == {"SHARED": "top", "OVERRIDE": "top"}
    assert names("containers/trainer/secret_env_vars.json") == {
        "SHARED_SECRET": "shared", "SECRET_TO_PLAIN": "x", "PLAIN_TO_SECRET": "k"
    }  # fmt: skip
    assert found["containers/trainer/hyperparameters.yaml"] == found["hyperparameters.yaml"]
    assert found["containers/trainer/command.sh"] == b"run trainer"


def test_large_document_is_refused() -> None:
    """A document that passes 1 MiB when it is written out is refused before anything is uploaded."""
    with pytest.raises(ConfigError, match="the effective document has"):
        files(parameters={"deeper": {"data": ["x" * 60] * 15_000}})
