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

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, PrivateAttr

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.parts.code_source import CodeSource, GitRef, resolve_root
from airflow.providers.databricks_air.run.config.parts.compute import Compute, node_count
from airflow.providers.databricks_air.run.config.parts.containers import (
    Container,
    ContainerVariables,
    container_conflicts,
)
from airflow.providers.databricks_air.run.config.parts.environment import DockerImage, Environment
from airflow.providers.databricks_air.run.config.parts.permission import Permission
from airflow.providers.databricks_air.run.config.rules.mappings import FreeForm, SecretMap, TextMap
from airflow.providers.databricks_air.run.config.rules.relations import Apart, AtLeastOne, Conflict, Relation
from airflow.providers.databricks_air.run.config.rules.sentences import mistake
from airflow.providers.databricks_air.run.config.rules.values import (
    COMMAND,
    NAME,
    RunName,
    Script,
    Text,
    Whole,
    any_case,
)
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import MapNode
from airflow.providers.databricks_air.run.document.python_data import from_python, map_texts
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

_DIRECTORY = Text(
    r"^\s*/Workspace",
    "is not a workspace directory",
    "Write /Workspace/…",
    blank="Write /Workspace/…",
    strip=True,
)
_LOCATION = Text(
    rf"^\s*(/Volumes/|{any_case('dbfs')}:/)",
    "is not a place for artifacts",
    "Write /Volumes/catalog/schema/volume/… or dbfs:/…",
    blank="Write /Volumes/catalog/schema/volume/… or dbfs:/…",
    strip=True,
)
_UUID = Text(
    r"^\s*[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*$",
    "is not a policy id: write a UUID, 8-4-4-4-12 hexadecimal digits",
    strip=True,
)
_MLFLOW_NAME = Text(r"^\s*[A-Za-z0-9_-]+\s*$", NAME.message, blank=NAME.blank, longest=100, strip=True)


def _artifact_uri(value: str) -> str:
    return f"dbfs:{value}" if value.startswith("/") else f"dbfs:{value[5:]}"


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

    command: Annotated[str, COMMAND, Script()] | None = None
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

    max_retries: Annotated[int, Whole(0)] = 3
    """How often the platform starts the run again after a failure; 3 gives up to four attempts, each with its
    own MLflow run. A time-out counts as a failure."""

    timeout_minutes: Annotated[int, Whole(1)] | None = None
    """The time limit of each attempt in minutes. No limit when unset."""

    idempotency_token: Annotated[str, Text(longest=64, strip=True)] | None = None
    """A token of your own, at most 64 characters: the platform answers a second submission with the
    same token with the first run. Leave it out and Airflow's own identity of the task is used."""

    parameters: FreeForm = Field(default_factory=dict)
    """Hyperparameters, nested as you like; the command finds them as a YAML file."""

    mlflow_run_name: Annotated[str, _MLFLOW_NAME] | None = None
    """The name of the MLflow run: letters, digits, ``-`` and ``_``, at most 100 characters."""

    mlflow_experiment_directory: Annotated[str, _DIRECTORY] | None = None
    """The workspace directory of the MLflow experiment, ``/Workspace/…``; made when missing."""

    mlflow_artifact_location: Annotated[str, _LOCATION, AfterValidator(_artifact_uri)] | None = None
    """Where a new MLflow experiment keeps its artifacts: ``/Volumes/…`` or ``dbfs:/…``. An experiment that
    exists keeps its location."""

    permissions: tuple[Permission, ...] = ()
    """Who else may see or manage the run."""

    usage_policy_name: Annotated[str, Text(longest=127, strip=True)] | None = None
    """The usage policy that pays for the run, by name, at most 127 characters.
    Not with ``usage_policy_id``."""

    usage_policy_id: Annotated[str, _UUID] | None = None
    """The usage policy that pays for the run, by id. Not with ``usage_policy_name``."""

    section: ClassVar[str] = ""
    relations: ClassVar[tuple[Relation, ...]] = (
        Apart("command", ("containers",), "Give each container its command"),
        AtLeastOne(("command", "containers"), "Write the shell script that every node runs", at="command"),
        Apart("environment.unity_catalog_image", ("containers",), "Each container names its own image"),
        Apart("usage_policy_name", ("usage_policy_id",), "Keep one of them", at="usage_policy_id"),
    )

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
        # Parsing a Dag file reads no configuration and writes none.
        from airflow.providers.databricks_air.run.document.writer import write_yaml

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
        """Yield what is wrong between the containers, and the names that stand for two things."""
        yield from container_conflicts(data.get("containers"), node_count(data.get("compute")))
        yield from _names_taken_twice(data)


def _names_taken_twice(data: Mapping[str, Any]) -> Iterator[Conflict]:
    variables, secrets = data.get("env_variables"), data.get("secrets")
    if isinstance(variables, Mapping) and isinstance(secrets, Mapping):
        for name in sorted(str(name) for name in variables if name in secrets):
            message = f"{show(name)} is in env_variables and in secrets"
            yield ("secrets", name), mistake(message, "Keep one of them")
