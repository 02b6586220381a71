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
"""The workspaces that the pages ask, through Airflow's connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["Workspaces"]

_SECONDS = 300.0


class Workspaces:
    """Has one client for each connection, which is read anew after five minutes or a refusal."""

    def __init__(self) -> None:
        self._clients: dict[str, tuple[float, AsyncClient]] = {}

    async def client(self, conn_id: str) -> AsyncClient:
        """Return the client of a connection.

        :param conn_id: id of the connection.
        :raises AirConfigError: when there is no such connection, or it cannot be used.
        :raises ServiceError: when Airflow does not answer.
        """
        from airflow.providers.databricks_air.api.http.client import AsyncClient
        from airflow.providers.databricks_air.hooks.air import AirRuntimeHook

        until, client = self._clients.get(conn_id, (0.0, None))
        if client is None:
            client = AsyncClient(await AirRuntimeHook(conn_id, caller="page").aget_credentials())
        elif until < time.monotonic():
            client.credentials = await AirRuntimeHook(conn_id, caller="page").aget_credentials()
        else:
            return client
        self._clients[conn_id] = (time.monotonic() + _SECONDS, client)
        return client

    def refused(self, conn_id: str) -> None:
        """Read the connection anew the next time: the workspace has refused its credentials."""
        if conn_id in self._clients:
            self._clients[conn_id] = (0.0, self._clients[conn_id][1])

    async def close(self) -> None:
        """Close the connections."""
        for _, client in self._clients.values():
            await client.close()
        self._clients.clear()
