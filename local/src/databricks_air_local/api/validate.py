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

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import malformed

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.script.scenario import Script

__all__ = ["ConfigCheck"]


def check_config_errors(errors: object) -> list[dict[str, str]]:
    """Return what config:validate shall answer.

    :raises ValueError: when it is not a list of mappings with ``path``, ``message`` and ``code``.
    """
    if not isinstance(errors, list):
        raise ValueError(f"config_errors: {errors!r} must be a list")
    for item in errors:
        known = isinstance(item, dict) and set(item) <= {"path", "message", "code"}
        if not known or not all(isinstance(value, str) for value in item.values()):
            raise ValueError(f"config_errors: {item!r} must be a mapping of path, message and code to text")
    return errors


class ConfigCheck:
    """Nothing to complain about, or what a test said."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("POST", "/api/2.0/ai-training/config:validate", self.validate),
        ]

    def validate(self, request: Request) -> dict[str, Any]:
        """``POST /api/2.0/ai-training/config:validate``: nothing to complain about, or what a test said."""
        body = request.json()
        for name, value in body.items():
            if name not in {"task", "run_options", "environment"}:
                shown = name[:100]
                raise malformed(
                    f"Cannot find field: {shown} in message databricks.aicomputemanager.ValidateConfigRequest"
                )
            if not isinstance(value, dict):
                raise malformed(f"{name} must be an object")
        return {"errors": self._script.config_errors} if self._script.config_errors else {}
