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

from databricks_air_local.api.jobs.policies import page
from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import missing
from databricks_air_local.state.runs import GPUS_PER_NODE

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.inventory import Inventory
    from databricks_air_local.state.runs import Runs

__all__ = ["Pools"]


class Pools:
    """GPU pools, and which accelerators there are."""

    def __init__(self, inventory: Inventory, runs: Runs) -> None:
        self._pools = inventory.pools
        self._runs = runs

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/api/2.0/ai-training/provisioned-capacities", self.list_pools),
            route("GET", "/api/2.0/ai-training/provisioned-capacities/{pool_id}", self.get_pool),
            route("GET", "/api/2.0/ai-compute-manager/compute-options", self.compute_options),
        ]

    def list_pools(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-training/provisioned-capacities``: without their use."""
        pools = [self._pool(pool_id) for pool_id in self._pools]
        return page(request, "provisioned_capacities", pools, 100)

    def get_pool(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-training/provisioned-capacities/{id}``: 64-bit numbers are strings."""
        pool_id = request.params["pool_id"]
        if pool_id not in self._pools:
            raise missing(f"Provisioned capacity '{pool_id[:255]}' does not exist.")
        used = sum(
            int(compute["accelerator_count"])
            for run in self._runs
            if run.active and run.last.started
            for compute in [run.compute]
            if compute.get("provisioned_capacity_id") == pool_id
        )
        idle = max(0, self._pools[pool_id][1] - used)
        usage = {"used_accelerator_count": str(used), "idle_accelerator_count": str(idle)}
        return {**self._pool(pool_id), "status": {"usage": usage}}

    def _pool(self, pool_id: str) -> dict[str, Any]:
        kind, count = self._pools[pool_id]
        name = f"provisioned-capacities/{pool_id}"
        return {"name": name, "spec": {"accelerator_type": kind, "accelerator_count": str(count)}}

    def compute_options(self, _request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-compute-manager/compute-options``."""
        return {"compute_options": [{"hardware_accelerator": name} for name in GPUS_PER_NODE]}
