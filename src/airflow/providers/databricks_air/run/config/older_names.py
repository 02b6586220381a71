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
"""Older names of fields and values.

This is the one table that loading, overrides, ``explain``, the JSON Schema and the converters read. A new older
name is one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ACCELERATOR_MODELS", "OLDER_NAMES", "OlderName", "older_names"]


@dataclass(frozen=True)
class OlderName:
    """A name, or a form of a value, that former command lines took.

    :param path: where it stands, with dots.
    :param advice: what to write instead, as a sentence without its full stop.
    :param target: where the value belongs today, with dots; empty when nowhere. The converters move it there.
    :param accepted: the JSON Schema of what is still read; None when it is an error to write it.
    """

    path: str
    advice: str
    target: str = ""
    accepted: Mapping[str, Any] | None = None
    parent: str = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        parent, _, name = self.path.rpartition(".")
        object.__setattr__(self, "parent", parent)
        object.__setattr__(self, "name", name)


_NO_POOL = (
    "Legacy node pools are gone; write pool_id, the id of a GPU pool (databricks air list pools shows them)"
)
_NO_UDP = "Remove it and write the script into command"
_PRIORITY = "Write compute.pool_id and compute.priority_class (BEST_EFFORT, NORMAL or CRITICAL)"
_UNCOMMITTED = "Uncommitted files are packed; write git: {commit: …} to leave them out"
_REMOTE = "Remove it; the local repository is packed: fetch first, then name the branch or the commit"

OLDER_NAMES = (
    OlderName("workspace", "Remove it; the Airflow connection names the workspace"),
    OlderName("bash_script", "Write command", "command"),
    OlderName("budget_policy_id", "Write usage_policy_id", "usage_policy_id"),
    OlderName("run_name", "Write experiment_name, or mlflow_run_name for the MLflow run", "mlflow_run_name"),
    OlderName("experiment_directory", "Write mlflow_experiment_directory", "mlflow_experiment_directory"),
    OlderName("env_variables_secrets", "Write secrets: {NAME: scope/key}", "secrets"),
    OlderName("no_interpolation", "Remove it; nothing is interpolated"),
    OlderName("priority", _PRIORITY),
    OlderName("job_type", _NO_UDP),
    OlderName("udp", _NO_UDP),
    OlderName("schedule", "Schedule it in Airflow: give the Dag a schedule"),
    OlderName("compute.gpus", "Write num_accelerators", "compute.num_accelerators"),
    OlderName("compute.gpu_type", "Write accelerator_type", "compute.accelerator_type"),
    OlderName("compute.node_pool_id", _NO_POOL),
    OlderName("compute.pool_name", _NO_POOL),
    OlderName(
        "compute.provisioned_capacity_id", "Write compute.pool_id", "compute.pool_id", {"type": "string"}
    ),
    OlderName("environment.env_variables", "Write env_variables at the top level", "env_variables"),
    OlderName("environment.custom_image_tag", "Write unity_catalog_image: catalog.schema.image:tag"),
    OlderName("environment.python_version", "Write version; the base environment brings its Python"),
    OlderName("environment.client", "Write version"),
    OlderName(
        "environment.dependencies",
        "Write the lines of the file as a list",
        "environment.dependencies",
        {"type": "string", "pattern": r"\.ya?ml\s*$"},
    ),
    OlderName(
        "environment.docker_image",
        "Write environment.unity_catalog_image",
        "environment.docker_image",
        {"$ref": "#/$defs/DockerImage"},
    ),
    OlderName("code_source.type", "Remove it; every code source is a snapshot", "", {"enum": ["snapshot"]}),
    OlderName(
        "code_source.snapshot",
        "Write its fields directly under code_source",
        "code_source",
        {"$ref": "#/$defs/CodeSnapshot"},
    ),
    OlderName("code_source.repo_path", "Write root_path", "code_source.root_path"),
    OlderName("code_source.git_branch", "Write git: {branch: …}", "code_source.git.branch"),
    OlderName("code_source.git_commit", "Write git: {commit: …}", "code_source.git.commit"),
    OlderName("code_source.allow_uncommitted", _UNCOMMITTED),
    OlderName("code_source.no_interpolation", "Remove it; nothing is interpolated"),
    OlderName("code_source.git.remote", _REMOTE, "", {"enum": [False, ""]}),
)

#: Accelerators by their older names.
ACCELERATOR_MODELS: Mapping[str, str] = {
    "a10": "A10",
    "a10g": "A10",
    "h100": "H100",
    "h100_80gb": "H100",
    "b300": "B300",
}


def older_names(parent: str) -> Mapping[str, OlderName]:
    """Return the older names in one part of the configuration.

    :param parent: the path of the part with dots; empty for the top level.
    """
    return _BY_PARENT.get(parent, {})


_BY_PARENT: dict[str, dict[str, OlderName]] = {}
for _row in OLDER_NAMES:
    _BY_PARENT.setdefault(_row.parent, {})[_row.name] = _row
