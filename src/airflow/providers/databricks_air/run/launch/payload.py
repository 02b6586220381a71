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
"""The bodies that ask for a run: of ``jobs/runs/submit`` and of ``ai-training/config:validate``.

They are plain mappings: the SDK's data classes cannot say ``containers`` or ``CRITICAL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.run.launch.artifacts import container_directory

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["DEFAULT_VERSION", "RUNTIME_IMAGE_VARIABLE", "submit_body", "validate_body", "version_of_image"]

_ENVIRONMENT_KEY = "default"
DEFAULT_VERSION = "6"
"""The version of the environment of a run that names none."""
RUNTIME_IMAGE_VARIABLE = "DATABRICKS_DL_RUNTIME_IMAGE"
"""The environment variable in which ``databricks air`` looks for another default."""
_CHANNEL_PREFIX = "CLIENT-GPU-"
_MANAGED_PREFIX = "databricks_ai_v"


def version_of_image(image: str) -> str:
    """Return the version of the environment that a runtime image stands for.

    :param image: what :data:`RUNTIME_IMAGE_VARIABLE` says; :data:`DEFAULT_VERSION` stands for nothing.
    """
    return image.strip().removeprefix(_CHANNEL_PREFIX) or DEFAULT_VERSION


def submit_body(
    config: RunConfig,
    *,
    launch_dir: str,
    token: str,
    code_source_path: str | None = None,
    usage_policy_id: str | None = None,
    default_version: str = DEFAULT_VERSION,
) -> dict[str, Any]:
    """Return the body of ``runs/submit``.

    :param config: the checked run configuration.
    :param launch_dir: absolute Workspace path of the launch directory.
    :param token: the idempotency token, at most 64 characters.
    :param code_source_path: absolute path of the uploaded snapshot, if the run has code.
    :param usage_policy_id: the id of the usage policy, if its name had to be looked up.
    :param default_version: the version of the environment where the configuration names none.
    """
    task: dict[str, Any] = {
        "task_key": config.experiment_name,
        "run_if": "ALL_SUCCESS",
        "environment_key": _ENVIRONMENT_KEY,
        "max_retries": config.max_retries,
    }
    if config.max_retries > 0:
        task["retry_on_timeout"] = True
    task["ai_runtime_task"] = _ai_runtime_task(config, launch_dir, code_source_path)
    body: dict[str, Any] = {"run_name": config.experiment_name, "idempotency_token": token}
    if config.timeout_minutes:
        body["timeout_seconds"] = config.timeout_minutes * 60
    policy = usage_policy_id or config.usage_policy_id
    if policy:
        body["budget_policy_id"] = policy
    body["environments"] = [
        {"environment_key": _ENVIRONMENT_KEY, "spec": _environment(config, default_version)}
    ]
    body["tasks"] = [task]
    return body


def validate_body(
    config: RunConfig, *, launch_dir: str, token: str, default_version: str = DEFAULT_VERSION
) -> dict[str, Any]:
    """Return the body of ``config:validate``; it carries neither parameters nor the code's path.

    :param config: the checked run configuration.
    :param launch_dir: absolute Workspace path of the launch directory.
    :param token: the idempotency token.
    :param default_version: see :func:`submit_body`.
    """
    options = {
        "idempotency_token": token,
        "max_retries": config.max_retries,
        "timeout_minutes": config.timeout_minutes,
        "usage_policy_name": config.usage_policy_name,
        "usage_policy_id": config.usage_policy_id,
        "env_variables": dict(config.env_variables),
        "secrets": dict(config.secrets),
    }
    return {
        "task": _ai_runtime_task(config, launch_dir, None),
        "run_options": {name: value for name, value in options.items() if value not in (None, "", {})},
        "environment": _environment(config, default_version),
    }


def _ai_runtime_task(config: RunConfig, launch_dir: str, code_source_path: str | None) -> dict[str, Any]:
    docker = config.environment.docker_image
    optional = {
        "mlflow_run": config.mlflow_run_name,
        "mlflow_experiment_directory": config.mlflow_experiment_directory,
        "mlflow_artifact_location": config.mlflow_artifact_location,
        "code_source_path": code_source_path,
        "priority_class": config.compute.priority_class,
        "unity_catalog_image_path": config.environment.unity_catalog_image,
        "docker_image_url": docker and docker.url,
    }
    return {
        "experiment": config.experiment_name,
        **{name: value for name, value in optional.items() if value},
        "deployments": [_deployment(config, launch_dir)],
    }


def _deployment(config: RunConfig, launch_dir: str) -> dict[str, Any]:
    compute: dict[str, Any] = {
        "accelerator_type": config.compute.accelerator_type,
        "accelerator_count": config.compute.num_accelerators,
    }
    if config.compute.pool_id:
        compute["provisioned_capacity_id"] = config.compute.pool_id
    if not config.containers:
        return {"command_path": f"{launch_dir}/command.sh", "compute": compute}
    containers = [
        {
            "name": container.name,
            "ranks": list(container.ranks),
            "unity_catalog_image_path": container.unity_catalog_image,
            "command_path": f"{launch_dir}/{container_directory(container.name)}/command.sh",
        }
        for container in config.containers
    ]
    return {"compute": compute, "containers": containers}


def _environment(config: RunConfig, default_version: str) -> dict[str, Any]:
    """Return the ``spec`` of the only environment: a channel or a managed base, and the dependencies."""
    version = config.environment.version or default_version
    spec: dict[str, Any] = (
        {"base_environment": f"workspace-base-environments/{version}"}
        if version.startswith(_MANAGED_PREFIX)
        else {"environment_version": version}
    )
    if config.environment.dependencies:
        spec["dependencies"] = list(config.environment.dependencies)
    return spec
