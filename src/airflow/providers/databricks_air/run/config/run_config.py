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
"""The run configuration: every field of the YAML file, its documentation and its rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from airflow.providers.databricks_air.run.config.code_source import CodeSource, GitRef, resolve_root
from airflow.providers.databricks_air.run.config.compute import Compute, node_count
from airflow.providers.databricks_air.run.config.containers import (
    Container,
    ContainerVariables,
    container_conflicts,
)
from airflow.providers.databricks_air.run.config.environment import DockerImage, Environment
from airflow.providers.databricks_air.run.config.model import REQUIRED, ConfigModel, Conflict, is_set
from airflow.providers.databricks_air.run.config.permission import Permission
from airflow.providers.databricks_air.run.config.rules import (
    FreeForm,
    RunName,
    SecretMap,
    Text,
    TextMap,
    forbid,
    matching,
    mistake,
    script,
    trimmed,
    whole_number,
)
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import MapNode
from airflow.providers.databricks_air.run.document.python_data import from_python, map_texts
from airflow.providers.databricks_air.run.document.writer import write_yaml
from airflow.providers.databricks_air.run.errors import FieldError

__all__ = [
    "CodeSource",
    "Compute",
    "Container",
    "ContainerVariables",
    "DockerImage",
    "Environment",
    "GitRef",
    "Permission",
    "RunConfig",
    "resolve_root",
]

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _mlflow_directory(value: str) -> str:
    value = trimmed()(value)
    if not value.startswith("/Workspace"):
        raise mistake(f"{show(value)} is not a workspace directory", "Write /Workspace/…")
    return value


def _artifact_location(value: str) -> str:
    value = trimmed()(value)
    if value.startswith("/Volumes/"):
        return f"dbfs:{value}"
    if re.match(r"dbfs:/", value, re.IGNORECASE):
        return f"dbfs:{value[5:]}"
    raise mistake(
        f"{show(value)} is not a place for artifacts", "Write /Volumes/catalog/schema/volume/… or dbfs:/…"
    )


def _policy_id(value: str) -> str:
    return matching(_UUID, "is not a policy id: write a UUID, 8-4-4-4-12 hexadecimal digits")(value.strip())


def _trimmed_run_name(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


class RunConfig(ConfigModel):
    """One training run, as ``databricks air run`` and ``AirRunOperator`` take it.

    Build it by name, or load it with :func:`~airflow.providers.databricks_air.run.load.load_run_config`.

    :raises ConfigError: with every mistake at once.
    """

    experiment_name: RunName
    """The name of the run and of its MLflow experiment: letters, digits, ``-`` and ``_``,
    at most 100 characters."""

    compute: Compute
    """The accelerators."""

    environment: Environment = Field(default_factory=Environment)
    """The software: packages on a base environment, or an image."""

    command: Annotated[Text, AfterValidator(script)] | None = None
    """The shell script that every node runs; at most 1000 lines. Either this or ``containers``."""

    containers: tuple[Container, ...] = ()
    """Several containers, each with its own image, command and nodes, instead of ``command``. Experimental on
    the platform."""

    env_variables: TextMap = Field(default_factory=dict)
    """Environment variables for every node. Numbers, ``true`` and ``yes`` keep the text
    as it is written here."""

    secrets: SecretMap = Field(default_factory=dict)
    """Environment variables whose values are Databricks secrets, as ``scope/key``. Only the reference is ever
    read here; the platform puts the value in its place on the node."""

    code_source: CodeSource | None = None
    """The code to pack and to unpack on every node."""

    max_retries: Annotated[int, BeforeValidator(whole_number(0)), Field(json_schema_extra={"minimum": 0})] = 3
    """How often the platform starts the run again after a failure; 3 gives up to four attempts, each with its
    own MLflow run. A time-out counts as a failure."""

    timeout_minutes: (
        Annotated[int, BeforeValidator(whole_number(1)), Field(json_schema_extra={"minimum": 1})] | None
    ) = None
    """The time limit of each attempt in minutes. No limit when unset."""

    idempotency_token: (
        Annotated[Text, AfterValidator(trimmed(64)), Field(json_schema_extra={"maxLength": 64})] | None
    ) = None
    """A token of your own, at most 64 characters: the platform answers a second submission with the
    same token with the first run. Leave it out and Airflow's own identity of the task is used."""

    parameters: FreeForm = Field(default_factory=dict)
    """Hyperparameters, nested as you like; the command finds them as a YAML file."""

    mlflow_run_name: Annotated[RunName, BeforeValidator(_trimmed_run_name)] | None = None
    """The name of the MLflow run: letters, digits, ``-`` and ``_``, at most 100 characters."""

    mlflow_experiment_directory: (
        Annotated[
            Text, AfterValidator(_mlflow_directory), Field(json_schema_extra={"pattern": r"^\s*/Workspace"})
        ]
        | None
    ) = None
    """The workspace directory of the MLflow experiment, ``/Workspace/…``; made when missing."""

    mlflow_artifact_location: Annotated[Text, AfterValidator(_artifact_location)] | None = None
    """Where a new MLflow experiment keeps its artifacts: ``/Volumes/…`` or ``dbfs:/…``. An experiment that
    exists keeps its location."""

    permissions: tuple[Permission, ...] = ()
    """Who else may see or manage the run."""

    usage_policy_name: (
        Annotated[Text, AfterValidator(trimmed(127)), Field(json_schema_extra={"maxLength": 127})] | None
    ) = None
    """The usage policy that pays for the run, by name, at most 127 characters.
    Not with ``usage_policy_id``."""

    usage_policy_id: (
        Annotated[Text, AfterValidator(_policy_id), Field(json_schema_extra={"pattern": _UUID})] | None
    ) = None
    """The usage policy that pays for the run, by id. Not with ``usage_policy_name``."""

    retired: ClassVar[Mapping[str, str]] = {
        "workspace": "Remove it; the Airflow connection names the workspace",
        "bash_script": "Write command",
        "budget_policy_id": "Write usage_policy_id",
        "run_name": "Write experiment_name, or mlflow_run_name for the MLflow run",
        "experiment_directory": "Write mlflow_experiment_directory",
        "env_variables_secrets": "Write secrets: {NAME: scope/key}",
        "no_interpolation": "Remove it; nothing is interpolated",
        "priority": "Write compute.pool_id and compute.priority_class (BEST_EFFORT, NORMAL or CRITICAL)",
        "job_type": "Remove it and write the script into command",
        "udp": "Remove it and write the script into command",
    }

    _document: MapNode | None = PrivateAttr(default=None)
    _deprecations: tuple[FieldError, ...] = PrivateAttr(default=())
    _base_dir: Path | None = PrivateAttr(default=None)

    @property
    def node_count(self) -> int:
        """The nodes of the run."""
        return self.compute.node_count

    @property
    def deprecations(self) -> tuple[FieldError, ...]:
        """Every older form in use, with what to write instead."""
        return self._deprecations

    @property
    def base_dir(self) -> Path:
        """The directory where relative paths start: that of the file, else the working directory."""
        return self._base_dir or Path.cwd()

    def to_yaml(self) -> str:
        """Return the effective document: bases and overrides merged, keys in source order, no comments.

        Values stand as their author wrote them, not as they are submitted.
        """
        return write_yaml(self.document())

    def __str__(self) -> str:
        """Return the effective document, which is what Airflow shows of a configuration."""
        return self.to_yaml()

    def with_texts(self, change: Callable[[str], Any]) -> RunConfig:
        """Return a copy to load again, whose document has other texts; its fields stay the old ones.

        :param change: returns what to put in the place of a text.
        """
        copy = super().model_copy()
        document = map_texts(self.document(), change)
        assert isinstance(document, MapNode)
        copy._document = document
        return copy

    def document(self) -> MapNode:
        """Return the effective document: the one that was loaded, or one made of the fields that were set."""
        if self._document is None:
            fields = from_python(self.model_dump(exclude_unset=True))
            assert isinstance(fields, MapNode)
            return fields
        return self._document

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> RunConfig:
        """Return a copy; one with changed fields forgets the document that it was loaded from."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._document = None
        return copy

    def __eq__(self, other: object) -> bool:
        """Compare the fields, whatever document they come from."""
        return isinstance(other, RunConfig) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        yield from _what_runs(data)
        yield from container_conflicts(data.get("containers"), node_count(data.get("compute")))
        yield from _names_taken_twice(data)
        if is_set(data, "usage_policy_name") and is_set(data, "usage_policy_id"):
            names = ["usage_policy_name", "usage_policy_id"]
            yield ("usage_policy_id",), forbid(names, "cannot stand together", "Keep one of them")


def _what_runs(data: Mapping[str, Any]) -> Iterator[Conflict]:
    containers = bool(data.get("containers"))
    if containers and is_set(data, "command"):
        yield (
            ("command",),
            forbid(["command", "containers"], "cannot stand together", "Give each container its command"),
        )
    if not containers and not is_set(data, "command"):
        yield ("command",), mistake(REQUIRED, "Write the shell script that every node runs")
    environment = data.get("environment")
    image = environment.get("unity_catalog_image") if isinstance(environment, Mapping) else None
    if isinstance(environment, Environment):
        image = environment.unity_catalog_image
    if containers and image is not None:
        names = ["environment.unity_catalog_image", "containers"]
        path = ("environment", "unity_catalog_image")
        yield path, forbid(names, "cannot stand together", "Each container names its own image")


def _names_taken_twice(data: Mapping[str, Any]) -> Iterator[Conflict]:
    variables, secrets = data.get("env_variables"), data.get("secrets")
    if isinstance(variables, Mapping) and isinstance(secrets, Mapping):
        for name in sorted(str(name) for name in variables if name in secrets):
            message = f"{show(name)} is in env_variables and in secrets"
            yield ("secrets", name), mistake(message, "Keep one of them")
