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
"""What the server says about a configuration before anything is uploaded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError, ServiceError
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["ask_server", "author_path"]

log = logging.getLogger(__name__)

# The server names the fields of its own request; the author knows those of the YAML.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"task\.experiment", "experiment_name"),
    (r"task\.mlflow_run", "mlflow_run_name"),
    (r"task\.(mlflow_\w+)", r"\1"),
    (r"task\.priority_class", "compute.priority_class"),
    (r"task\.unity_catalog_image_path", "environment.unity_catalog_image"),
    (r"task\.deployments\[\d+\]\.command_path", "command"),
    (r"task\.deployments\[\d+\]\.compute\.accelerator_count", "compute.num_accelerators"),
    (r"task\.deployments\[\d+\]\.compute\.provisioned_capacity_id", "compute.pool_id"),
    (r"task\.deployments\[\d+\]\.(compute(?:\.\w+)?)", r"\1"),
    (r"task\.deployments\[\d+\]\.(containers\[\d+\])\.command_path", r"\1.command"),
    (r"task\.deployments\[\d+\]\.(containers\[\d+\])\.unity_catalog_image_path", r"\1.unity_catalog_image"),
    (r"task\.deployments\[\d+\]\.(containers.*)", r"\1"),
    (r"run_options\.(.+)", r"\1"),
    (r"environment\.(?:environment_version|base_environment)", "environment.version"),
)


async def ask_server(client: AsyncClient, body: Mapping[str, Any]) -> None:
    """Let the server check a run: ``POST /api/2.0/ai-training/config:validate``, one try of 5 s.

    A server that cannot check (the feature is off, it is away, slow or overloaded) does not stop a launch:
    that is said once, as a warning.

    :param client: the workspace.
    :param body: the body of the request.
    :raises ConfigError: with the author's field paths, when the server finds mistakes.
    :raises ApiError: when the server refuses the request itself.
    """
    try:
        answer = await client.perform(calls.validate_config(body))
    except ApiError as error:
        if _cannot_check(error):
            log.warning("The workspace did not check the configuration: %s", error)
            return
        raise
    errors = tuple(_field_errors(answer.get("errors") or ()))
    if errors:
        raise ConfigError(errors)


def author_path(path: str) -> str:
    """Return the YAML field that the server's *path* speaks of; *path* itself where there is none."""
    for pattern, replacement in _RENAMES:
        match = re.fullmatch(pattern, path)
        if match:
            return match.expand(replacement)
    return path


def _cannot_check(error: ApiError) -> bool:
    absent = isinstance(error, (ServiceError, NotFoundError)) or error.error_code == "FEATURE_DISABLED"
    # Servers of an older release know the endpoint, but not every field of today's request.
    return absent or "Cannot find field:" in error.message


def _field_errors(entries: Iterable[Any]) -> Iterable[FieldError]:
    for entry in entries:
        said = entry if isinstance(entry, Mapping) else {"message": entry}
        yield FieldError(
            author_path(str(said.get("path") or "")),
            f"{str(said.get('message') or 'not valid').rstrip('.')} (said by the workspace)",
        )
