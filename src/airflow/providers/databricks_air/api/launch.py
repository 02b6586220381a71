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
"""From a run configuration to the id of a run.

The way has four steps, each as long as its slowest request: who am I; what does the server say and what is
there already; send what is missing; submit.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.api import calls, storage
from airflow.providers.databricks_air.api.errors import NotFoundError
from airflow.providers.databricks_air.api.policies import usage_policy_id
from airflow.providers.databricks_air.api.preflight import ask_server
from airflow.providers.databricks_air.api.together import Together
from airflow.providers.databricks_air.api.upload import Destination, upload
from airflow.providers.databricks_air.run.artifacts import Artifact, build_artifacts
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError
from airflow.providers.databricks_air.run.identity import launch_directory
from airflow.providers.databricks_air.run.payload import submit_body, validate_body

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.client import SyncClient
    from airflow.providers.databricks_air.run.config import RunConfig

__all__ = ["Prepared", "launch", "prepare"]

log = logging.getLogger(__name__)

MAX_TOKEN_LENGTH = 64
_HOME_VARIABLE = "DATABRICKS_INTERNAL_USER_WORKSPACE_DIR"


@dataclass(frozen=True)
class Prepared:
    """A launch that is thought through, before anything is written anywhere.

    :param config: the run configuration.
    :param token: the idempotency token.
    :param artifacts: the files of the launch directory.
    :param destination: where they go.
    """

    config: RunConfig
    token: str
    artifacts: tuple[Artifact, ...]
    destination: Destination


def launch(
    client: SyncClient,
    config: RunConfig,
    *,
    token: str,
    base_dir: Path | None = None,
    created: Callable[[int], None] | None = None,
) -> int:
    """Upload what a run needs, submit it and return its id.

    Repeated with the same token and configuration it returns the id of the same run.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: the idempotency token, at most 64 characters.
    :param base_dir: the directory that a relative ``code_source.root_path`` starts from; the working
        directory when None.
    :param created: called with the run's id as soon as it is known, before permissions are granted.
    :raises ConfigError: when the workspace refuses the configuration.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: when a request fails for good; a file that cannot be written is named.
    """
    prepared = prepare(client, config, token=token, base_dir=base_dir)
    checked, policy = _check(client, prepared)
    upload(client, checked.artifacts, checked.destination)
    body = submit_body(
        config,
        launch_dir=checked.destination.launch_dir,
        token=token,
        code_source_path=checked.destination.snapshot_path,
        usage_policy_id=policy,
    )
    run_id = client.perform(calls.submit_run(body)).run_id
    if created:
        created(run_id)
    return run_id


def prepare(client: SyncClient, config: RunConfig, *, token: str, base_dir: Path | None = None) -> Prepared:
    """Return what a launch would write and where, without asking for more than the user's name.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: the idempotency token.
    :param base_dir: see :func:`launch`.
    :raises ConfigError: when the token or the configuration is too long.
    """
    if not token.strip() or len(token) > MAX_TOKEN_LENGTH:
        raise ConfigError(
            [
                FieldError(
                    "idempotency_token", f"{token!r} has {len(token)} characters, not 1 to {MAX_TOKEN_LENGTH}"
                )
            ]
        )
    artifacts = build_artifacts(config)
    home = os.environ.get(_HOME_VARIABLE) or client.perform(calls.me()).home
    destination = Destination(launch_directory(home.rstrip("/"), config, token, artifacts))
    return Prepared(config, token, artifacts, destination)


def _check(client: SyncClient, prepared: Prepared) -> tuple[Prepared, str | None]:
    """Ask and make everything that the upload and the submission need, side by side.

    Returns the launch with what is present already, and the id of the usage policy.
    """
    config, destination = prepared.config, prepared.destination
    directories = sorted({storage.parent(destination.path_of(artifact)) for artifact in prepared.artifacts})
    body = validate_body(config, launch_dir=destination.launch_dir, token=prepared.token)
    _, _, policy, *present = Together().run(
        [
            lambda: ask_server(client, body),
            lambda: _ensure_experiment_directory(client, config.mlflow_experiment_directory),
            lambda: usage_policy_id(client, config.usage_policy_name) if config.usage_policy_name else None,
            *(lambda path=path: storage.present_files(client, path) for path in directories),
            *(lambda path=path: storage.make_directory(client, path) for path in directories),
        ]
    )
    found = frozenset().union(*present[: len(directories)])
    return replace(prepared, destination=replace(destination, present=found)), policy


def _ensure_experiment_directory(client: SyncClient, path: str | None) -> None:
    """Make the directory of the MLflow experiment if it is missing."""
    if not path:
        return
    try:
        kind = client.perform(calls.get_status(path)).get("object_type")
    except NotFoundError:
        storage.make_directory(client, path)
        return
    if kind != "DIRECTORY":
        raise ConfigError(
            [
                FieldError(
                    "mlflow_experiment_directory",
                    f"{path!r} is a {kind}, not a directory",
                    "Name another path",
                )
            ]
        )
