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
"""Where an operator's run configuration comes from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.run.config.rules.visible_secrets import visible_secrets

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["ConfigSource", "render"]

log = logging.getLogger(__name__)

_TEMPLATE = re.compile(r"\{[{%#]")


def render(content: Any, airflow: Callable[[Any], Any]) -> Any:
    """Render the templates in *content*, also in the texts of a ``RunConfig``.

    ``{{secrets/scope/key}}`` in a container's variables is the platform's own and stays as it is.

    :param content: what a Dag author wrote for a template field, or a part of it.
    :param airflow: renders what it is given as Airflow does.
    """
    # Parsing a Dag file does not need the schema.
    from airflow.providers.databricks_air.run.config.parts.containers import SECRET_VARIABLE
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

    if isinstance(content, RunConfig):
        return content.with_texts(lambda text: render(text, airflow) if _TEMPLATE.search(text) else text)
    if isinstance(content, str):
        content = SECRET_VARIABLE.sub(r"{% raw %}\g<0>{% endraw %}", content)
    return airflow(content)


@dataclass(frozen=True)
class ConfigSource:
    """Where the configuration of a task comes from, already rendered.

    :param config_path: a YAML file; None where ``config`` is given.
    :param config: a mapping, YAML text or a ``RunConfig``; None where ``config_path`` is given.
    :param overrides: changes to it.
    :param dag: the Dag, beside whose file a relative path is looked up; None for the working directory.
    """

    config_path: str | None
    config: Any
    overrides: Any
    dag: Any

    def shown(self) -> str:
        """Return the configuration as it will be submitted, for people; where it cannot be read, what is wrong with it.

        Values that look like credentials are left out.
        """
        try:
            config, _ = self._read()
        except Exception as error:  # noqa: BLE001 - a run of an earlier try may need none
            return "\n".join(f"# {line}" for line in str(error).splitlines())
        text = config.to_yaml()
        for name in visible_secrets(config.env_variables):
            text = text.replace(config.env_variables[name], "***")
        return text

    def read(self) -> tuple[RunConfig, Path]:
        """Return the checked configuration and the directory that its relative paths start from.

        :raises AirConfigError: when not exactly one of the two is given, or the file is missing.
        :raises ConfigError: when the configuration has mistakes.
        """
        config, directory = self._read()
        _warn_of_secrets(config)
        return config, directory

    def _read(self) -> tuple[RunConfig, Path]:
        from airflow.providers.databricks_air.run.load import load_run_config

        if (self.config_path is None) == (self.config is None):
            given = "neither" if self.config is None else "both"
            raise AirConfigError(f"config_path, config: {given} of them given. Give exactly one")
        dag_directory = Path(getattr(self.dag, "fileloc", "") or ".").absolute().parent
        if self.config is not None:
            return load_run_config(
                self.config, overrides=self.overrides, base_dir=dag_directory
            ), dag_directory
        path = _find(str(self.config_path), dag_directory)
        return load_run_config(path, overrides=self.overrides), path.parent


def _warn_of_secrets(config: RunConfig) -> None:
    """Say which variables everybody can read though they look like credentials."""
    _warn("env_variables", config.env_variables, "secrets: {%s: scope/key}")
    for index, container in enumerate(config.containers):
        where = f"containers.{index}.environment_variables.variables"
        _warn(where, container.environment_variables.variables, "%s: '{{secrets/scope/key}}'")


def _warn(where: str, variables: Mapping[str, str], instead: str) -> None:
    if names := list(visible_secrets(variables)):
        log.warning(
            "%s: the value of %s looks like a credential, and everybody who sees the run can read it. "
            "Keep it in a secret scope and write %s",
            where,
            ", ".join(names),
            instead % names[0],
        )


def _find(config_path: str, dag_directory: Path) -> Path:
    if not config_path.strip():
        raise AirConfigError(f"config_path: {config_path!r} is not the path of a YAML file")
    path = Path(config_path).expanduser()
    candidates = [path] if path.is_absolute() else [dag_directory / path, Path.cwd() / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = " nor ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise AirConfigError(
        f"config_path: {config_path!r} is not a file: not at {places}. "
        "A relative path is looked up beside the Dag file, then in the working directory"
    )
