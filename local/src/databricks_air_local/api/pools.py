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
"""GPU pools, and which accelerators there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.api.policies import page
from databricks_air_local.api.submission import GPUS_PER_NODE
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import missing

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]


def list_pools(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-training/provisioned-capacities``: without their use."""
    pools = [_pool(ws, pool_id) for pool_id in ws.settings.pools]
    return page(request, "provisioned_capacities", pools, 100)


def get_pool(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-training/provisioned-capacities/{id}``: 64-bit numbers are strings."""
    pool_id = request.params["pool_id"]
    if pool_id not in ws.settings.pools:
        raise missing(f"Provisioned capacity '{pool_id[:255]}' does not exist.")
    used = sum(
        int(compute["accelerator_count"])
        for run in ws.runs.values()
        if run.active and run.last.started
        for compute in [run.air["deployments"][0]["compute"]]
        if compute.get("provisioned_capacity_id") == pool_id
    )
    idle = max(0, ws.settings.pools[pool_id][1] - used)
    usage = {"used_accelerator_count": str(used), "idle_accelerator_count": str(idle)}
    return {**_pool(ws, pool_id), "status": {"usage": usage}}


def _pool(ws: Workspace, pool_id: str) -> dict[str, Any]:
    kind, count = ws.settings.pools[pool_id]
    name = f"provisioned-capacities/{pool_id}"
    return {"name": name, "spec": {"accelerator_type": kind, "accelerator_count": str(count)}}


def compute_options(_ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /api/2.0/ai-compute-manager/compute-options``."""
    return {"compute_options": [{"hardware_accelerator": name} for name in GPUS_PER_NODE]}


ROUTES = [
    Route("GET", "/api/2.0/ai-training/provisioned-capacities", list_pools),
    Route("GET", "/api/2.0/ai-training/provisioned-capacities/{pool_id}", get_pool),
    Route("GET", "/api/2.0/ai-compute-manager/compute-options", compute_options),
]
