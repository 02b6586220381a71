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
"""From a run configuration to the id of a run.

The way has four steps, each as long as its slowest request: who am I; what does the server say and what is
there already; send what is missing; submit. Where this machine has launched before, the first two are one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.errors import NotFoundError, RequestError
from airflow.providers.databricks_air.api.http.together import in_thread, together
from airflow.providers.databricks_air.api.launch import storage
from airflow.providers.databricks_air.api.launch.home import HOME_VARIABLE, find_home, from_home
from airflow.providers.databricks_air.api.launch.images import require_image
from airflow.providers.databricks_air.api.launch.permissions import grant
from airflow.providers.databricks_air.api.launch.policies import usage_policy_id
from airflow.providers.databricks_air.api.launch.preflight import ask_server, mistakes_by_server
from airflow.providers.databricks_air.api.launch.upload import Progress, Upload, silent, upload
from airflow.providers.databricks_air.run.code.snapshot import Snapshot, take_snapshot
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError
from airflow.providers.databricks_air.run.launch.artifacts import build_artifacts, owner_file
from airflow.providers.databricks_air.run.launch.identity import launch_directory
from airflow.providers.databricks_air.run.launch.payload import (
    DEFAULT_VERSION,
    RUNTIME_IMAGE_VARIABLE,
    submit_body,
    validate_body,
    version_of_image,
)

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["Launch", "ask", "check_online", "launch", "prepare", "send_files", "submit"]

MAX_TOKEN_LENGTH = 64

#: What to change where a directory cannot be made, by the setting that it comes from.
_REMEDIES = {
    "mlflow_experiment_directory": "Write a directory below your own home or below /Workspace/Shared",
    "workspace home": f"Set {HOME_VARIABLE} to a directory that the connection's user may write to",
}


@dataclass(frozen=True)
class Launch:
    """A launch that is thought through, before anything is written anywhere.

    :param config: the run configuration.
    :param token: the idempotency token.
    :param files: what the run needs, and where it goes.
    :param usage_policy_id: the id of the usage policy that the configuration names; None where it names none.
    :param default_version: the version of the environment where the configuration names none.
    """

    config: RunConfig
    token: str
    files: Upload
    usage_policy_id: str | None = None
    default_version: str = DEFAULT_VERSION

    @property
    def body(self) -> dict[str, Any]:
        """The body of ``runs/submit``."""
        return submit_body(
            self.config,
            launch_dir=self.files.launch_dir,
            token=self.token,
            code_source_path=self.files.snapshot_path,
            usage_policy_id=self.usage_policy_id,
            default_version=self.default_version,
        )

    @property
    def checked_body(self) -> dict[str, Any]:
        """The body of ``config:validate``."""
        return validate_body(
            self.config,
            launch_dir=self.files.launch_dir,
            token=self.token,
            default_version=self.default_version,
        )


def launch(
    client: SyncClient,
    config: RunConfig,
    *,
    token: str,
    base_dir: Path | None = None,
    created: Callable[[int], None] = lambda _: None,
    owner: Mapping[str, Any] | None = None,
) -> int:
    """Upload what a run needs, submit it and return its id.

    Repeated with the same token and configuration it returns the id of the same run.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: the idempotency token, at most 64 characters.
    :param base_dir: the directory that a relative ``code_source.root_path`` starts from; that of the
        configuration file when None.
    :param created: called with the run's id as soon as it is known, before permissions on it are granted.
    :param owner: who asks for the run, for the file that leads back from it; None for no such file.
    :raises ConfigError: when the workspace refuses the configuration.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: when a request fails for good; a file that cannot be written is named.
    """
    return submit(client, send_files(client, config, token=token, base_dir=base_dir, owner=owner), created)


def send_files(
    client: SyncClient,
    config: RunConfig,
    *,
    token: str,
    base_dir: Path | None = None,
    owner: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Launch:
    """Upload what a run needs, and return the launch that only has to be submitted; parameters as for :func:`launch`.

    :param progress: hears how far the code is packed and uploaded.
    :raises ConfigError: when the workspace refuses the configuration.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: when a request fails for good; a file that cannot be written is named.
    """
    return client.run(_uploaded(client.calls, config, token, base_dir, owner, progress))


def submit(client: SyncClient, ready: Launch, created: Callable[[int], None] = lambda _: None) -> int:
    """Submit a launch whose files are there, and return the run's id.

    :param client: the workspace.
    :param ready: the launch.
    :param created: called with the run's id as soon as it is known, before permissions on it are granted.
    :raises ApiError: when the workspace does not take it.
    """
    run_id = client.perform(calls.submit_run(ready.body)).run_id
    created(run_id)
    grant(client, ready.config.permissions, run_id)
    return run_id


async def _uploaded(
    client: AsyncClient,
    config: RunConfig,
    token: str,
    base_dir: Path | None,
    owner: Mapping[str, Any] | None,
    progress: Progress,
) -> Launch:
    _check_token(token)

    async def checked(home: str) -> Launch:
        planned = await prepare(client, config, token=token, base_dir=base_dir, home=home)
        return await ask(client, planned, _checks_and_directories(client, planned))

    ready = await from_home(client, checked)
    note = owner_file({**owner, **_code(ready.files.snapshot)}) if owner else None
    await upload(client, replace(ready.files, note=note), progress)
    return ready


def _code(snapshot: Snapshot | None) -> dict[str, str]:
    return {"code_key": snapshot.key, "code_commit": snapshot.commit} if snapshot else {}


def check_online(
    client: SyncClient, config: RunConfig, *, token: str, base_dir: Path | None = None
) -> tuple[FieldError, ...]:
    """Return what the workspace finds wrong with a configuration; nothing is written anywhere.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: what stands for the idempotency token.
    :param base_dir: see :func:`launch`.
    :raises ValidationUnavailableError: when the workspace cannot check it now.
    :raises SnapshotError: when the code cannot be packed.
    :raises ApiError: when the workspace refuses the request itself, or the credentials.
    """

    async def ask_it() -> tuple[FieldError, ...]:
        planned = await prepare(client.calls, config, token=token, base_dir=base_dir)
        return await mistakes_by_server(client.calls, config, planned.checked_body)

    return client.run(ask_it())


async def prepare(
    client: AsyncClient, config: RunConfig, *, token: str, base_dir: Path | None = None, home: str = ""
) -> Launch:
    """Return what a launch would write and where, without asking for more than the user's name.

    :param client: the workspace.
    :param config: the checked run configuration.
    :param token: the idempotency token.
    :param base_dir: see :func:`launch`.
    :param home: the user's directory in the workspace; found out where it is empty.
    :raises ConfigError: when the token or the configuration is too long.
    :raises SnapshotError: when the code cannot be packed.
    """
    _check_token(token)
    artifacts = build_artifacts(config)
    home, snapshot = await together(
        [partial(_home, client, home), partial(_snapshot, config, base_dir or config.base_dir)]
    )
    files = Upload(
        launch_directory(home, config, token, artifacts),
        artifacts,
        snapshot,
        _snapshot_path(home, config, snapshot) if snapshot else None,
    )
    version = version_of_image(os.environ.get(RUNTIME_IMAGE_VARIABLE, ""))
    return Launch(config, token, files, default_version=version)


async def ask(
    client: AsyncClient, planned: Launch, beside: Sequence[Callable[[], Awaitable[Any]]] = ()
) -> Launch:
    """Ask what the upload and the submission depend on, side by side; nothing is changed.

    :param client: the workspace.
    :param planned: the launch.
    :param beside: more to do at the same time.
    :returns: the launch with what is present already, and with the id of the usage policy.
    :raises ConfigError: when the usage policy does not exist.
    """
    config, files = planned.config, planned.files
    questions: list[Callable[[], Awaitable[Any]]] = [
        partial(_policy, client, config),
        partial(_present_snapshot, client, files.snapshot_path),
        *(partial(storage.present_files, client, path) for path in files.directories),
    ]
    policy, *present = await together([*questions, *beside])
    found = {path: size for sizes in present[: len(questions) - 1] for path, size in sizes.items()}
    return replace(planned, files=replace(files, present=found), usage_policy_id=policy)


def _check_token(token: str) -> None:
    if not token.strip() or len(token) > MAX_TOKEN_LENGTH:
        what = f"{token!r} has {len(token)} characters, not 1 to {MAX_TOKEN_LENGTH}"
        raise ConfigError([FieldError("idempotency_token", what)])


async def _home(client: AsyncClient, known: str) -> str:
    return known or await find_home(client)


async def _snapshot(config: RunConfig, base_dir: Path) -> Snapshot | None:
    source = config.code_source
    return await in_thread(lambda _: take_snapshot(source, base_dir)) if source else None


def _snapshot_path(home: str, config: RunConfig, snapshot: Snapshot) -> str:
    """Return where the ``databricks air`` command would put, and look for, the same code."""
    volume = config.code_source.remote_volume if config.code_source else None
    folder = volume.rstrip("/") if volume else f"{home}/.air/repo_snapshots"
    return f"{folder}/.internal/{snapshot.file_name}"


async def _policy(client: AsyncClient, config: RunConfig) -> str | None:
    return await usage_policy_id(client, config.usage_policy_name) if config.usage_policy_name else None


async def _present_snapshot(client: AsyncClient, path: str | None) -> dict[str, int]:
    return await storage.present_file(client, path) if path else {}


def _checks_and_directories(client: AsyncClient, planned: Launch) -> list[Callable[[], Awaitable[None]]]:
    """Return what must have happened before the upload."""
    config, files = planned.config, planned.files
    return [
        partial(ask_server, client, config, planned.checked_body),
        partial(require_image, client, config.environment.docker_image),
        partial(_experiment_directory, client, config.mlflow_experiment_directory),
        *(partial(_directory, client, path, "workspace home") for path in files.directories),
    ]


async def _experiment_directory(client: AsyncClient, path: str | None) -> None:
    """Look at the directory of the MLflow experiment, and make it if it is missing."""
    if not path:
        return
    try:
        kind = (await client.perform(calls.get_status(path))).get("object_type")
    except NotFoundError:
        await _directory(client, path, "mlflow_experiment_directory")
        return
    if kind != "DIRECTORY":
        what = f"{path!r} is a {kind}, not a directory"
        raise ConfigError([FieldError("mlflow_experiment_directory", what, "Name another path")])


async def _directory(client: AsyncClient, path: str, setting: str) -> None:
    """Make a directory; where the workspace protects the one around it, name the setting to change.

    :param setting: what the path comes from.
    """
    try:
        await storage.make_directory(client, path)
    except RequestError as error:
        if "is protected" not in str(error):
            raise
        # "Folder Users is protected": the home of a user that does not exist, or /Workspace/Users itself.
        what = f"{path!r} cannot be made: {error.message}"
        raise ConfigError([FieldError(setting, what, _REMEDIES[setting])]) from None
