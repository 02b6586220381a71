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
"""Who may see and manage runs and experiments: kept and shown, not enforced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import malformed, missing, refuse

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.mlflow import Mlflow
    from databricks_air_local.state.runs import Runs
    from databricks_air_local.state.store import Store

__all__ = ["Permissions"]

_WHO = ("user_name", "group_name", "service_principal_name")
_LEVELS = {
    "jobs": ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"),
    "experiments": ("CAN_READ", "CAN_EDIT", "CAN_MANAGE"),
}


def _entry(kind: str, item: object) -> dict[str, str]:
    if not isinstance(item, dict):
        raise malformed("access_control_list must be an array of objects")
    who = [name for name in _WHO if item.get(name)]
    level = item.get("permission_level")
    if len(who) != 1 or not isinstance(item[who[0]], str):
        raise refuse(f"An access control entry names exactly one of {', '.join(_WHO)}")
    if level not in _LEVELS[kind]:
        raise refuse(f"permission_level '{str(level)[:40]}' is not one of {', '.join(_LEVELS[kind])}")
    return {who[0]: item[who[0]], "permission_level": str(level)}


class Permissions:
    """Access control lists of jobs and experiments: kept and shown, not enforced."""

    def __init__(self, store: Store, runs: Runs, mlflow: Mlflow, owner: str) -> None:
        self._store = store
        self._runs = runs
        self._mlflow = mlflow
        self._owner = owner
        self._grants = {key: held["grants"] for key, held in store.all("grants")}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("PATCH", "/api/2.0/permissions/{kind}/{id}", self.change),
            route("GET", "/api/2.0/permissions/{kind}/{id}", self.get),
        ]

    def change(self, request: Request) -> dict[str, Any]:
        """``PATCH /api/2.0/permissions/{jobs|experiments}/{id}``: adds, and keeps what is there."""
        kind, key = self._object(request)
        wanted = request.json().get("access_control_list")
        if not isinstance(wanted, list):
            raise malformed("access_control_list must be an array")
        entries = [_entry(kind, item) for item in wanted]
        held = self._grants.setdefault(key, [])
        held += [entry for entry in entries if entry not in held]
        self._store.put("grants", key, {"grants": held})
        return self._view(kind, key)

    def get(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/permissions/{jobs|experiments}/{id}``."""
        return self._view(*self._object(request))

    def _object(self, request: Request) -> tuple[str, str]:
        kind, name = request.params["kind"], request.params["id"]
        if kind not in _LEVELS:
            raise refuse(f"'{kind[:40]}' is not one of {', '.join(_LEVELS)}")
        if kind == "experiments":
            self._mlflow.experiment(name)
        elif not any(str(run.job_id) == name for run in self._runs) and not self._store.get("jobs", name):
            raise missing(f"Job {name[:40]} does not exist.")
        return kind, f"{kind}/{name}"

    def _view(self, kind: str, key: str) -> dict[str, Any]:
        owner = {"user_name": self._owner, "permission_level": _LEVELS[kind][-1]}
        acl = [
            {
                **{name: value for name, value in entry.items() if name != "permission_level"},
                "all_permissions": [{"permission_level": entry["permission_level"], "inherited": False}],
            }
            for entry in [owner, *self._grants.get(key, [])]
        ]
        return {"object_id": f"/{key}", "object_type": kind[:-1], "access_control_list": acl}
