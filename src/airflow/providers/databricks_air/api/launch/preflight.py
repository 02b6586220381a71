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
"""What the server says about a configuration before anything is uploaded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.run.document.nodes import locate
from airflow.providers.databricks_air.run.document.paths import parse_path
from airflow.providers.databricks_air.run.errors import AirError, ConfigError, FieldError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["ValidationUnavailableError", "ask_server", "author_path", "mistakes_by_server"]

log = logging.getLogger(__name__)

# The server names the fields of its own request, from its top or from the part they are in; the author knows
# those of the YAML.
_TASK = r"(?:task\.)?"
_DEPLOYMENT = rf"{_TASK}deployments\[\d+\]\."
_RENAMES: tuple[tuple[str, str], ...] = (
    (rf"{_TASK}experiment", "experiment_name"),
    (rf"{_TASK}mlflow_run", "mlflow_run_name"),
    (rf"{_TASK}(mlflow_\w+)", r"\1"),
    (rf"{_TASK}priority_class", "compute.priority_class"),
    (rf"{_TASK}unity_catalog_image_path", "environment.unity_catalog_image"),
    (rf"{_TASK}docker_image_url", "environment.docker_image.url"),
    (rf"{_DEPLOYMENT}command_path", "command"),
    (rf"{_DEPLOYMENT}compute\.accelerator_count", "compute.num_accelerators"),
    (rf"{_DEPLOYMENT}compute\.provisioned_capacity_id", "compute.pool_id"),
    (rf"{_DEPLOYMENT}(compute(?:\.\w+)?)", r"\1"),
    (rf"{_DEPLOYMENT}(containers\[\d+\])\.command_path", r"\1.command"),
    (rf"{_DEPLOYMENT}(containers\[\d+\])\.unity_catalog_image_path", r"\1.unity_catalog_image"),
    (rf"{_DEPLOYMENT}(containers.*)", r"\1"),
    (r"(?:run_options\.)?(env_variables|secrets)\[(.+)\]", r"\1.\2"),
    (r"run_options\.(.+)", r"\1"),
    (r"(?:environment\.)?(?:environment_version|base_environment)", "environment.version"),
    (r"(dependencies(?:\[\d+\])?)", r"environment.\1"),
)
_HINTS = {
    "COUNT_NOT_MULTIPLE": "Take a multiple of the accelerators of one node, which accelerator_type begins with",
    "DISALLOWED_CHARACTERS": "Write it without the characters that are not allowed",
}
_ABSENT = frozenset({404, 408, 429})


class ValidationUnavailableError(AirError):
    """The workspace could not check a configuration; that says nothing about it, and may pass."""


async def ask_server(client: AsyncClient, config: RunConfig, body: Mapping[str, Any]) -> None:
    """Let the server check a run before its launch.

    A server that cannot check does not stop a launch: that is said once, as a warning.

    :param client: the workspace.
    :param config: the run configuration, for the places of the mistakes.
    :param body: the body of the request.
    :raises ConfigError: with the author's field paths, when the server finds mistakes.
    :raises ApiError: when the server refuses the request itself, or the credentials.
    """
    try:
        mistakes = await mistakes_by_server(client, config, body)
    except ValidationUnavailableError as error:
        log.warning("The workspace did not check the configuration: %s", error)
        return
    if mistakes:
        raise ConfigError(mistakes)


async def mistakes_by_server(
    client: AsyncClient, config: RunConfig, body: Mapping[str, Any]
) -> tuple[FieldError, ...]:
    """Return what the server finds wrong: ``POST /api/2.0/ai-training/config:validate``, one try of 5 s.

    :param client: the workspace.
    :param config: the run configuration, for the places of the mistakes.
    :param body: the body of the request.
    :raises ValidationUnavailableError: when the feature is off, or the server is away, slow or overloaded, or
        does not answer as it should.
    :raises ApiError: when the server refuses the request itself, or the credentials.
    """
    try:
        answer = await client.perform(calls.validate_config(body))
    except ApiError as error:
        if _cannot_check(error):
            raise ValidationUnavailableError(str(error)) from None
        raise
    found = answer.get("errors")
    if found is not None and not isinstance(found, list):
        raise ValidationUnavailableError("the answer of config:validate cannot be read")
    return tuple(_located(config, error) for error in _field_errors(found or ()))


def author_path(path: str) -> str:
    """Return the YAML field that the server's *path* speaks of; *path* itself where there is none."""
    for pattern, replacement in _RENAMES:
        match = re.fullmatch(pattern, path)
        if match:
            return match.expand(replacement)
    return path


def _cannot_check(error: ApiError) -> bool:
    if isinstance(error, AuthError) and error.error_code != "FEATURE_DISABLED":
        return False
    if error.error_code == "FEATURE_DISABLED" or error.status is None:
        return True
    # Below 400 the answer was unreadable. Servers of an older release know the endpoint, but not every field
    # of today's request.
    no_answer = error.status in _ABSENT or error.status >= 500 or error.status < 400
    return no_answer or "Cannot find field:" in error.message


def _field_errors(entries: Iterable[Any]) -> Iterable[FieldError]:
    for entry in entries:
        said = entry if isinstance(entry, Mapping) else {"message": entry}
        code = str(said.get("code") or "")
        message = str(said.get("message") or code or "not valid").rstrip(".")
        by = f"the workspace, {code}" if code else "the workspace"
        yield FieldError(
            author_path(str(said.get("path") or "")), f"{message} (said by {by})", _HINTS.get(code, "")
        )


def _located(config: RunConfig, error: FieldError) -> FieldError:
    """Return the mistake with the file and the line of its field, where the configuration has them."""
    try:
        origin = locate(config.document(), parse_path(error.path))
    except ConfigError:
        return error
    return replace(error, file=origin.file, line=origin.line)
