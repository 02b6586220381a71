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
"""The submit body: what is sent when, beyond the golden files of ``tests/wire``."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.run import RunConfig
from airflow.providers.databricks_air.run.launch.payload import submit_body, validate_body, version_of_image

BASE: dict[str, Any] = {
    "experiment_name": "demo",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "command": "x",
}


def body(**fields: Any) -> dict[str, Any]:
    """Return the submit body of a configuration."""
    return submit_body(RunConfig(**(BASE | fields)), launch_dir="/Workspace/d", token="t")


@pytest.mark.parametrize(
    ("image", "version"), [("CLIENT-GPU-5", "5"), (" 7 ", "7"), ("CLIENT-GPU-", "6"), ("", "6")]
)
def test_default_version(image: str, version: str) -> None:
    """A run that names no version gets today's, or that of the image that the command line reads."""
    config = RunConfig(**BASE)
    given = submit_body(config, launch_dir="/d", token="t", default_version=version_of_image(image))
    assert given["environments"][0]["spec"] == {"environment_version": version}
    assert body()["environments"][0]["spec"] == {"environment_version": "6"}


@pytest.mark.parametrize(
    ("version", "spec"),
    [
        (5, {"environment_version": "5"}),
        ("databricks_ai_v6", {"base_environment": "workspace-base-environments/databricks_ai_v6"}),
    ],
)
def test_version(version: Any, spec: dict[str, str]) -> None:
    """Digits are a channel, a managed name is a base environment; there is exactly one of the two."""
    assert body(environment={"version": version})["environments"][0]["spec"] == spec


@pytest.mark.parametrize(
    ("retries", "expected"), [(0, {"max_retries": 0}), (2, {"max_retries": 2, "retry_on_timeout": True})]
)
def test_retries(retries: int, expected: dict[str, Any]) -> None:
    """The number of retries is always sent; a timeout is retried only where anything is."""
    task = body(max_retries=retries)["tasks"][0]
    assert {key: task[key] for key in ("max_retries", "retry_on_timeout") if key in task} == expected


def test_names_are_one() -> None:
    """Run, task and experiment bear the same name, and the task refers to the only environment."""
    found = body()
    task = found["tasks"][0]
    assert found["run_name"] == task["task_key"] == task["ai_runtime_task"]["experiment"] == "demo"
    assert found["environments"][0]["environment_key"] == task["environment_key"]


def test_unset_fields_are_left_out() -> None:
    """A field without a value is not sent, neither as null nor as an empty list."""
    found = body()
    assert set(found) == {"run_name", "idempotency_token", "environments", "tasks"}
    assert set(found["tasks"][0]["ai_runtime_task"]) == {"experiment", "deployments"}


def test_policy_that_was_looked_up() -> None:
    """The id that belongs to a policy's name is sent where the name was configured."""
    config = RunConfig(**(BASE | {"usage_policy_name": "Team"}))
    found = submit_body(
        config, launch_dir="/d", token="t", usage_policy_id="id", code_source_path="/c.tar.gz"
    )
    assert found["budget_policy_id"] == "id"
    assert found["tasks"][0]["ai_runtime_task"]["code_source_path"] == "/c.tar.gz"


def test_validate_body_has_no_secrets_beyond_references() -> None:
    """The check gets the references of secrets and no parameters."""
    config = RunConfig(**(BASE | {"secrets": {"T": "s/k"}, "parameters": {"lr": 1}}))
    found = validate_body(config, launch_dir="/d", token="t")
    assert found["run_options"] == {"idempotency_token": "t", "max_retries": 3, "secrets": {"T": "s/k"}}
    assert "lr" not in str(found)
