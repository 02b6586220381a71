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
"""The check of a configuration before it is submitted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import Refusal, integer, malformed
from databricks_air_local.state.runs import GPUS_PER_NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.script.scenario import Script

__all__ = ["ConfigCheck"]


_MOST_ACCELERATORS = 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ConfigCheck:
    """Says what is wrong with values, and what a test said."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", "/api/2.0/ai-training/config:validate", self.validate),
        ]

    def validate(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/ai-training/config:validate``: what it finds, and what a test said."""
        body = request.json()
        for name, value in body.items():
            if name not in {"task", "run_options", "environment"}:
                message = "databricks.aicomputemanager.ValidateConfigRequest"
                # Clients look for these very words.
                words = f"Cannot find field: {name[:100]} in message {message}"
                raise Refusal(400, "MALFORMED_REQUEST", words)
            if not isinstance(value, dict):
                raise malformed(f"{name} must be an object")
        errors = [*_counts(body.get("task", {})), *_names(body.get("run_options", {}))]
        errors += self._script.config_errors
        return {"errors": errors} if errors else {}


def _counts(task: dict[str, Any]) -> Iterator[dict[str, str]]:
    deployments = task.get("deployments")
    for number, deployment in enumerate(deployments if isinstance(deployments, list) else []):
        compute = deployment.get("compute") if isinstance(deployment, dict) else None
        if not isinstance(compute, dict) or "accelerator_count" not in compute:
            continue
        path = f"deployments[{number}].compute.accelerator_count"
        count = integer(compute["accelerator_count"], path)
        each = GPUS_PER_NODE.get(str(compute.get("accelerator_type")), 1)
        if not 0 < count <= _MOST_ACCELERATORS:
            message = f"must be between 1 and {_MOST_ACCELERATORS}, got {count}"
            yield {"path": path, "message": message, "code": "OUT_OF_RANGE"}
        elif count % each:
            message = f"must be a multiple of {each}, got {count}"
            yield {"path": path, "message": message, "code": "COUNT_NOT_MULTIPLE"}


def _names(options: dict[str, Any]) -> Iterator[dict[str, str]]:
    for field in ("env_variables", "secrets"):
        names = options.get(field)
        for name in names if isinstance(names, dict) else ():
            if not _NAME.fullmatch(name):
                message = "may hold only letters, digits and _, and begins with no digit"
                path = f"{field}[{name[:100]}]"
                yield {"path": path, "message": message, "code": "DISALLOWED_CHARACTERS"}
