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

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.run.config.containers import SECRET_VARIABLE
from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.load import load_run_config

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.operators.air import AirRunOperator

__all__ = ["read_config", "render"]

_TEMPLATE = re.compile(r"\{[{%#]")


def render(content: Any, airflow: Callable[[Any], Any]) -> Any:
    """Render the templates in *content*, also in the texts of a ``RunConfig``.

    ``{{secrets/scope/key}}`` in a container's variables is the platform's own and stays as it is.

    :param content: what a Dag author wrote for a template field, or a part of it.
    :param airflow: renders what it is given as Airflow does.
    """
    if isinstance(content, RunConfig):
        return content.with_texts(lambda text: render(text, airflow) if _TEMPLATE.search(text) else text)
    if isinstance(content, str):
        content = SECRET_VARIABLE.sub(r"{% raw %}\g<0>{% endraw %}", content)
    return airflow(content)


def read_config(operator: AirRunOperator, context: Context) -> tuple[RunConfig, Path]:
    """Return the checked configuration and the directory that its relative paths start from.

    :param operator: its ``config_path`` or ``config``, and ``overrides``, already rendered.
    :param context: of the running task.
    :raises AirConfigError: when not exactly one of the two is given, or the file is missing.
    :raises ConfigError: when the configuration has mistakes.
    """
    if (operator.config_path is None) == (operator.config is None):
        given = "neither" if operator.config is None else "both"
        raise AirConfigError(f"config_path, config: {given} of them given. Give exactly one")
    dag_directory = Path(getattr(context.get("dag"), "fileloc", "") or ".").absolute().parent
    if operator.config is not None:
        config = load_run_config(operator.config, overrides=operator.overrides, base_dir=dag_directory)
        return config, dag_directory
    path = _find(str(operator.config_path), dag_directory)
    return load_run_config(path, overrides=operator.overrides), path.parent


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
