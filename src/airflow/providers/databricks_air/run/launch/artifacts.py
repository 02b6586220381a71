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
"""The files of a launch directory, as the node's launcher reads them.

The launcher looks for every file beside the ``command.sh`` that ``command_path`` names, so the names here are
part of the wire: ``hyperparameters.yaml``, ``env_vars.json`` and ``secret_env_vars.json`` are siblings of
``command.sh``, once for the run, or once for each container.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.run.config.parts.containers import SECRET_VARIABLE
from airflow.providers.databricks_air.run.document.writer import dump_yaml, effective_text

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import Container, RunConfig

__all__ = ["CLEARED_FILE", "OWNER_FILE", "Artifact", "build_artifacts", "container_directory", "owner_file"]


OWNER_FILE = "airflow_owner.json"
"""The file of the launch directory that says which task asked for the run."""
CLEARED_FILE = "airflow_cleared.json"
"""The file beside it that says that a user has cleared that task: the result of the run is not for its next try."""


@dataclass(frozen=True)
class Artifact:
    """One file of the launch directory.

    :param path: where it goes, relative to the launch directory, with ``/`` between the parts.
    :param content: its bytes.
    """

    path: str
    content: bytes


def build_artifacts(config: RunConfig) -> tuple[Artifact, ...]:
    """Return the files of the launch directory of *config*, sorted by path.

    :param config: the checked run configuration.
    :raises ConfigError: if ``training_config.yaml`` would pass the limit of the platform.
    """
    document = effective_text(config.document()).encode()
    artifacts = [Artifact("training_config.yaml", document), *_shared(config)]
    for container in config.containers:
        artifacts.extend(_of_container(config, container))
    return tuple(sorted(artifacts, key=lambda artifact: artifact.path))


def owner_file(owner: Mapping[str, Any]) -> Artifact:
    """Return the file that leads from a run back to who asked for it.

    It is no part of what the launch directory is named after: a later try that finds the same run again writes
    itself over the earlier one.

    :param owner: who asks; plain values without secrets.
    """
    return Artifact(OWNER_FILE, (json.dumps(owner, indent=2, sort_keys=True) + "\n").encode())


def container_directory(name: str) -> str:
    """Return the directory of the container *name*, relative to the launch directory."""
    return f"containers/{name}"


def _shared(config: RunConfig) -> Iterator[Artifact]:
    """Yield the files beside ``training_config.yaml``."""
    if not config.containers and config.command is not None:
        yield Artifact("command.sh", config.command.encode())
    if config.parameters:
        yield _hyperparameters(config.parameters, "")
    if not config.containers:
        yield from _variables(config.env_variables, _split_references(config.secrets), "")


def _of_container(config: RunConfig, container: Container) -> Iterator[Artifact]:
    """Yield the files of one container.

    A name stands in one of the two variable files only: what the container says replaces what the run says,
    also where one of them is a secret and the other is not.
    """
    own = container.environment_variables.variables
    references = {
        name: match.groups() for name, value in own.items() if (match := SECRET_VARIABLE.fullmatch(value))
    }
    plain = {name: value for name, value in own.items() if name not in references}
    shared_secrets = _split_references(config.secrets)
    prefix = container_directory(container.name) + "/"
    yield Artifact(f"{prefix}command.sh", container.command.encode())
    if config.parameters:
        yield _hyperparameters(config.parameters, prefix)
    yield from _variables(
        {name: value for name, value in config.env_variables.items() if name not in references} | plain,
        {name: pair for name, pair in shared_secrets.items() if name not in plain}
        | {name: (scope, key) for name, (scope, key) in references.items()},
        prefix,
    )


def _variables(
    plain: Mapping[str, str], secrets: Mapping[str, tuple[str, str]], prefix: str
) -> Iterator[Artifact]:
    """Yield the files of the environment variables, each only if it has an entry."""
    if plain:
        yield _json(f"{prefix}env_vars.json", [{"name": n, "value": v} for n, v in sorted(plain.items())])
    if secrets:
        entries = [{"name": n, "secret_scope": s, "secret_key": k} for n, (s, k) in sorted(secrets.items())]
        yield _json(f"{prefix}secret_env_vars.json", entries)


def _split_references(secrets: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Split ``scope/key`` of each secret."""
    return {
        name: (scope, key)
        for name, reference in secrets.items()
        for scope, _, key in [reference.partition("/")]
    }


def _json(path: str, entries: list[dict[str, str]]) -> Artifact:
    return Artifact(path, json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode())


def _hyperparameters(parameters: Mapping[str, Any], prefix: str) -> Artifact:
    return Artifact(f"{prefix}hyperparameters.yaml", dump_yaml(parameters, sort_keys=True).encode())
