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
"""What the service accepts as a run: the checks of a submit body, written from the wire alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.refusals import Refusal, integer, malformed, refuse
from databricks_air_local.state.runs import GPUS_PER_NODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks_air_local.state.files import Files
    from databricks_air_local.state.inventory import Inventory

__all__ = ["Admission", "check_submission"]

PRIORITIES = ("BEST_EFFORT", "NORMAL", "CRITICAL")
_MAX_NODES = 64
_TEXTS = ("mlflow_run", "mlflow_experiment_directory", "mlflow_artifact_location", "code_source_path")


class Admission:
    """Says which bodies of ``runs/submit`` become runs.

    :param files: what the paths of a body lead to.
    :param inventory: what a body may name beside them.
    """

    def __init__(self, files: Files, inventory: Inventory) -> None:
        self._files = files
        self._inventory = inventory

    def check(self, body: dict[str, Any]) -> None:
        """Check a body; its numbers that came as text become numbers.

        :raises Refusal: with the first thing that is wrong.
        """
        check_submission(body, self._files.readable)
        self._check_names(body, body["tasks"][0]["ai_runtime_task"])

    def _check_names(self, body: dict[str, Any], air: dict[str, Any]) -> None:
        """Check that there is what the body names: a policy, a pool, a volume, images."""
        for name in ("budget_policy_id", "usage_policy_id"):
            policy = _string(body, name, "", required=False)
            if policy:
                self._inventory.check_policy(policy)
        deployment = air["deployments"][0]
        compute = deployment["compute"]
        if compute.get("provisioned_capacity_id"):
            self._inventory.check_pool(compute["provisioned_capacity_id"], compute["accelerator_type"])
        self._inventory.check_location(air.get("mlflow_artifact_location") or "")
        for holder in (air, *(deployment.get("containers") or ())):
            for name in ("docker_image_url", "unity_catalog_image_path", "unity_catalog_image"):
                image = _string(holder, name, "", required=False)
                if image and not image.startswith("custom:"):
                    self._inventory.check_image(image)


def check_submission(body: dict[str, Any], readable: Callable[[str], bool]) -> None:
    """Check the form of a body, and that its commands are there.

    :param readable: says whether a workspace or volume path names a file.
    :raises Refusal: with the first thing that is wrong.
    """
    tasks = _items(body, "tasks")
    if len(tasks) != 1:
        raise refuse(f"An AI Runtime run has exactly one task, got {len(tasks)}.")
    task = tasks[0]
    key = _string(task, "task_key", "tasks[0].")
    if len(key) > 100 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in key):
        raise refuse(
            f"Task key {key[:120]!r} may hold only letters, digits, - and _ and at most 100 characters."
        )
    air = task.get("ai_runtime_task")
    if not isinstance(air, dict):
        raise refuse("tasks[0].ai_runtime_task is required: the local AI Runtime runs nothing else.")
    _check_environment(body, task)
    _check_numbers(body, task)
    _string(air, "experiment", "ai_runtime_task.")
    for name in _TEXTS:
        _string(air, name, "ai_runtime_task.", required=False)
    _check_deployment(air, readable)


def _check_environment(body: dict[str, Any], task: dict[str, Any]) -> None:
    key = _string(task, "environment_key", "tasks[0].", required=False)
    if not key:
        raise refuse("An ai_runtime_task needs an environment: environment_key is required.")
    specs = {}
    for environment in _items(body, "environments"):
        specs[_string(environment, "environment_key", "environments.")] = environment.get("spec")
    if key not in specs:
        raise refuse(
            f"The environment_key '{key}' of task '{task['task_key']}' is not defined in environments."
        )
    spec = specs[key]
    if not isinstance(spec, dict):
        raise refuse(f"environments '{key}': spec is required.")
    _strings(spec, "dependencies", f"environments '{key}': ")
    versions = [name for name in ("environment_version", "base_environment", "client") if spec.get(name)]
    if len(versions) != 1:
        raise refuse(f"environments '{key}': set exactly one of environment_version and base_environment.")
    _string(spec, versions[0], f"environments '{key}': ")


def _check_numbers(body: dict[str, Any], task: dict[str, Any]) -> None:
    for holder, name, least in (
        (task, "max_retries", -1),
        (body, "timeout_seconds", 0),
        (task, "timeout_seconds", 0),
    ):
        value = holder.get(name)
        if value is None:
            continue
        # As text in every JSON form of a protocol buffer; the stock Databricks operator sends all numbers so.
        value = holder[name] = integer(value, name)
        if not least <= value < 2**31:
            raise refuse(f"{name} must be between {least} and {2**31 - 1}, got {value}.")
    token = body.get("idempotency_token")
    if token is not None and (not isinstance(token, str) or len(token) > 64):
        raise refuse("idempotency_token must be a string of at most 64 characters.")
    _string(body, "run_name", "", required=False)


def _node_count(compute: dict[str, Any]) -> int:
    """Return how many nodes are asked for; a number that came as text becomes one."""
    kind = _string(compute, "accelerator_type", "compute.")
    if kind not in GPUS_PER_NODE:
        raise refuse(f"accelerator_type '{kind[:100]}' is not one of {', '.join(GPUS_PER_NODE)}.")
    count = compute["accelerator_count"] = integer(compute.get("accelerator_count"), "accelerator_count")
    if count <= 0 or count % GPUS_PER_NODE[kind]:
        rule = f"must be a positive multiple of {GPUS_PER_NODE[kind]} for {kind}"
        raise refuse(f"accelerator_count {str(count)[:40]} {rule}.")
    if count // GPUS_PER_NODE[kind] > _MAX_NODES:
        raise Refusal(400, "RESOURCE_LIMIT_EXCEEDED", f"At most {_MAX_NODES} nodes are available.")
    return count // GPUS_PER_NODE[kind]


def _check_deployment(air: dict[str, Any], readable: Callable[[str], bool]) -> None:
    deployments = _items(air, "deployments")
    if len(deployments) != 1:
        raise refuse(f"An ai_runtime_task has exactly one deployment, got {len(deployments)}.")
    deployment = deployments[0]
    compute = deployment.get("compute")
    if not isinstance(compute, dict):
        raise refuse("deployments[0].compute is required.")
    nodes = _node_count(compute)
    pool = _string(compute, "provisioned_capacity_id", "compute.", required=False)
    priority = _string(air, "priority_class", "ai_runtime_task.", required=False)
    if priority and (priority not in PRIORITIES or not pool):
        raise refuse(f"priority_class is one of {', '.join(PRIORITIES)} and needs a provisioned_capacity_id.")
    containers = _items(deployment, "containers")
    if containers:
        _check_containers(deployment, containers, nodes, readable)
    else:
        _check_command(deployment, "deployments[0].", readable)


def _check_command(holder: dict[str, Any], where: str, readable: Callable[[str], bool]) -> None:
    path = _string(holder, "command_path", where)
    if not readable(path):
        raise refuse(f"{where}command_path '{path[:300]}' is not a readable file.")


def _check_containers(
    deployment: dict[str, Any], containers: list[dict[str, Any]], nodes: int, readable: Callable[[str], bool]
) -> None:
    if deployment.get("command_path"):
        raise refuse("deployments[0] has both command_path and containers; set one.")
    owned: list[int] = []
    names = set()
    for container in containers:
        name = _string(container, "name", "containers.")
        if name in names:
            raise refuse(f"Container name '{name[:40]}' is used twice.")
        names.add(name)
        ranks = container.get("ranks")
        if not isinstance(ranks, list):
            raise refuse(f"Container '{name[:40]}': ranks must be a list of integers.")
        ranks = container["ranks"] = [integer(rank, f"containers '{name[:40]}': ranks") for rank in ranks]
        owned += ranks
        _string(container, "unity_catalog_image_path", "containers.", required=False)
        _string(container, "unity_catalog_image", "containers.", required=False)
        _check_command(container, f"containers '{name[:40]}': ", readable)
    if sorted(owned) != list(range(nodes)):
        raise refuse(f"Every rank from 0 to {nodes - 1} must belong to exactly one container.")


def _items(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise malformed(f"{name} must be an array of objects")
    return value


def _strings(holder: dict[str, Any], name: str, where: str) -> list[str]:
    value = holder.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise malformed(f"{where}{name} must be an array of strings")
    return value


def _string(holder: dict[str, Any], name: str, where: str, *, required: bool = True) -> str:
    value = holder.get(name)
    if value is None and not required:
        return ""
    if value is None or value == "":
        raise refuse(f"Missing required field: {where}{name}")
    if not isinstance(value, str):
        raise malformed(f"{where}{name} must be a string")
    return value
