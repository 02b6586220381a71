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
"""Laying out a node: its directory, its files, its variables."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from databricks_air_local.engine.dependencies import dependency_notice, wanted_dependencies, write_setup
from databricks_air_local.engine.node import MARK, NodeSpec
from databricks_air_local.state.runs import GPUS_PER_NODE
from databricks_air_local.state.tree import parent_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from databricks_air_local.state.files import Files
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.state.site import Settings, Site

__all__ = ["CommandError", "Launcher", "Place", "extract_code"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIDECARS = (
    *("env_vars.json", "secret_env_vars.json", "hyperparameters.yaml"),
    *("requirements.yaml", "training_config.yaml"),
)
#: Bytes of one variable with its name, which is what Linux starts a process with (MAX_ARG_STRLEN).
_LONGEST_VARIABLE = 128 * 1024 - 1
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class CommandError(Exception):
    """A node could not be prepared; the message says why, in the words a user needs."""


class Place(NamedTuple):
    """Where a node stands in its attempt.

    :param rank: 0 for the first.
    :param nodes: how many nodes there are.
    :param port: rendezvous port on the loopback address.
    :param command: workspace path of its command.
    """

    rank: int
    nodes: int
    port: int
    command: str


class Launcher:
    """Lays out nodes.

    :param directory: where the state is kept: below it the runs and the environments.
    :param site: what a command reaches the server by.
    :param token: the token of commands.
    """

    def __init__(self, directory: Path, files: Files, site: Site, settings: Settings, token: str) -> None:
        self._runs = directory / "runs"
        self._environments = directory / "environments"
        self._files = files
        self._site = site
        self._settings = settings
        self._token = token

    def directory(self, run_id: int, attempt: int, rank: int) -> Path:
        """Return the directory of one node of one attempt."""
        return self._runs / str(run_id) / f"attempt_{attempt}" / f"node_{rank}"

    def prepare(self, run: Run, attempt: Attempt, place: Place, cpus: str) -> NodeSpec:
        """Lay out the directory of a node and return what starts it.

        :param cpus: the processors it may use, as ``taskset`` writes them; empty for all.
        :raises CommandError: when something that the run names is missing or unusable.
        """
        settings = self._settings
        directory = self.directory(run.run_id, attempt.number, place.rank)
        launch = directory / "launch"
        launch.mkdir(parents=True, exist_ok=True)
        (directory / "home").mkdir(exist_ok=True)
        self._copy_launch(place.command, launch)
        variables = self._variables(run, attempt, place)
        variables["HOME"] = str(directory / "home")
        if (launch / "hyperparameters.yaml").exists():
            variables["HYPERPARAMETERS_PATH"] = str(launch / "hyperparameters.yaml")
        if run.air.get("code_source_path"):
            archive = self._file("code_source_path", run.air["code_source_path"])
            code = extract_code(archive, directory / "databricks" / "code_source")
            variables["CODE_SOURCE_PATH"] = str(code)
        variables.update(_sidecar_variables(launch, settings.secrets))
        _check_lengths(variables)
        setup = None
        wanted = wanted_dependencies(run.body, launch)
        if wanted and settings.install_dependencies:
            setup, path = write_setup(self._environments, wanted, launch)
            variables["VIRTUAL_ENV"] = str(path)
            variables["PATH"] = f"{path / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
        command = launch / "command.sh"
        keep, memory = settings.keep_runs, settings.memory_limit
        return NodeSpec(directory, command, variables, keep, memory, cpus, setup)

    def preamble(self, run: Run) -> list[str]:
        """Return the lines that the platform writes before the command's own."""
        notice = [] if self._settings.install_dependencies else dependency_notice(run.body)
        directory = parent_of(run.commands[0])
        missing = not self._files.readable(f"{directory}/requirements.yaml")
        if self._settings.requirements_notice and missing:
            line = f"No co-located requirements.yaml at {directory}; skipping requirements.yaml install."
            notice.insert(0, line)
        return notice

    def _variables(self, run: Run, attempt: Attempt, place: Place) -> dict[str, str]:
        per_node = GPUS_PER_NODE[run.compute["accelerator_type"]]
        variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            **variables,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(place.port),
            "NUM_NODES": str(place.nodes),
            "NODE_RANK": str(place.rank),
            "WORLD_SIZE": str(per_node * place.nodes),
            "LOCAL_WORLD_SIZE": str(per_node),
            "MLFLOW_RUN_ID": attempt.mlflow_run_id,
            "MLFLOW_EXPERIMENT_ID": attempt.experiment_id,
            # On the platform this is "databricks"; here any MLflow client reaches the server without a profile.
            "MLFLOW_TRACKING_URI": self._site.listening,
            "MLFLOW_TRACKING_TOKEN": self._token,
            # MLflow's client asks for artifacts as Databricks' own clients do, and so may the command.
            "DATABRICKS_HOST": self._site.listening,
            "DATABRICKS_TOKEN": self._token,
            "MLFLOW_SYSTEM_METRICS_NODE_ID": f"node_{place.rank}",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "NCCL_DEBUG": "WARN",
            # Lines appear when they are printed, as nobody sits at a terminal to see that they do not.
            "PYTHONUNBUFFERED": "1",
            "DATABRICKS_RUNTIME_VERSION": _runtime_version(run.body),
            MARK: uuid.uuid4().hex,
        }

    def _file(self, field: str, path: str) -> Path:
        file = self._files.find(path)
        if file is None:
            raise CommandError(f"{field} '{path}' is not a readable file")
        return file

    def _copy_launch(self, command: str, launch: Path) -> None:
        shutil.copyfile(self._file("command_path", command), launch / "command.sh")
        for name in _SIDECARS:
            file = self._files.find(f"{parent_of(command)}/{name}")
            if file is not None:
                shutil.copyfile(file, launch / name)


def extract_code(archive: Path, target: Path) -> Path:
    """Extract a snapshot below a directory and return the directory it holds.

    :raises CommandError: when it is not an archive, climbs out, or has not exactly one top directory.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(target, filter="data")
            else:  # Python before 3.10.12 and 3.11.4
                tar.extractall(target, [m for m in tar if _stays_inside(m)])  # noqa: S202 - checked one by one
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CommandError(f"The code source is not a usable .tar.gz archive: {error}") from None
    tops = list(target.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise CommandError("The code source must hold exactly one top-level directory")
    return tops[0]


def _stays_inside(member: tarfile.TarInfo) -> bool:
    """Say whether a member may be extracted.

    :raises tarfile.TarError: when it, or what it links to, lies outside of the archive's own directory, or
        when it is no file, directory or link.
    """
    names = [member.name]
    if member.islnk():
        names.append(member.linkname)
    elif member.issym():
        names.append(os.path.join(os.path.dirname(member.name), member.linkname))
    elif not (member.isreg() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name!r} is neither a file, a directory nor a link")
    for name in names:
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
            raise tarfile.ExtractError(f"{member.name!r} leads out of the archive")
    return True


def _sidecar_variables(launch: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the files beside the command define; a secret must exist."""
    variables = {
        item["name"]: item["value"] for item in _sidecar(launch / "env_vars.json", ("name", "value"))
    }
    for item in _sidecar(launch / "secret_env_vars.json", ("name", "secret_scope", "secret_key")):
        scope, key = item["secret_scope"], item["secret_key"]
        if f"{scope}/{key}" not in secrets:
            raise CommandError(f"Secret does not exist with scope: {scope} and key: {key}")
        variables[item["name"]] = secrets[f"{scope}/{key}"]
    return variables


def _check_lengths(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        size = len(f"{name}={value}".encode("utf-8", "surrogateescape"))
        if size > _LONGEST_VARIABLE:
            raise CommandError(
                f"The environment variable {name} has {size:,} bytes with its name; no process can be started "
                f"with more than {_LONGEST_VARIABLE:,}: put the value into a file"
            )


def _sidecar(path: Path, keys: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.exists():
        return []
    try:
        items: Any = json.loads(path.read_bytes())
    except ValueError:
        raise CommandError(f"{path.name} is not JSON") from None
    if not isinstance(items, list):
        raise CommandError(f"{path.name} is not a JSON array")
    for item in items:
        if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
            raise CommandError(f"{path.name}: every entry needs the strings {', '.join(keys)}")
        if not _NAME.fullmatch(item["name"]) or any("\0" in item[key] for key in keys):
            raise CommandError(f"{path.name}: {item['name']!r} cannot be an environment variable")
    return items


def _runtime_version(body: dict[str, Any]) -> str:
    spec = body["environments"][0]["spec"]
    version = str(spec.get("environment_version") or spec.get("base_environment") or spec.get("client"))
    return f"client.{version.rpartition('/')[2]}"
