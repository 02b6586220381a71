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
"""A slot: one local AI Runtime with its connection, in which one trial at a time takes place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.storage import make_directory, parent, write_file
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import wait_for
from tests.story.chaos.dags import STOCK_COMMAND

__all__ = ["Slot"]


class Slot:
    """A local AI Runtime of its own, on a port that stays.

    ``launch_requests`` says how many requests a launch takes, the first look at the new run included.

    :param number: names it.
    :param directory: where its state is kept.
    """

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        self.conn_id = f"air_{number}"
        self.launch_requests = 0
        self.code = directory / "code"
        self.code.mkdir(exist_ok=True)
        self.air = LocalAirRuntime(directory / f"air-{number}", retry_wait=0.1)
        self.air.start()
        self._put_command()

    @property
    def connections(self) -> dict[str, str]:
        """The environment variables that tell Airflow of it."""
        host, port = self.air.url.removeprefix("http://").split(":")
        own = {"conn_type": "databricks_air", "host": self.air.url, "password": self.air.token}
        stock = {
            "conn_type": "databricks",
            "host": host,
            "port": int(port),
            "schema": "http",
            "password": self.air.token,
        }
        return {
            f"AIRFLOW_CONN_AIR_{self.number}": json.dumps(own),
            f"AIRFLOW_CONN_STOCK_{self.number}": json.dumps(stock),
        }

    def _put_command(self) -> None:
        """Upload the file that the stock operator's run executes; ours uploads its own."""
        client = SyncClient(TokenCredentials(self.air.url, self.air.token))
        make_directory(client, parent(STOCK_COMMAND))
        write_file(client, STOCK_COMMAND, lambda: io.BytesIO(b"true\n"))
        client.close()

    def reset(self) -> None:
        """Forget faults, behaviours and the journal; runs stay."""
        self.air.clear_faults()
        self.air.clear_requests()
        self.air.forget_behaviours()

    def stop(self) -> None:
        """Stop the server, as an outage would; its state stays."""
        self.air.stop()

    def start(self) -> None:
        """Start the server again on its port."""
        self.air.start()

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """Return the runs whose experiment begins with that name, oldest first."""
        return [run for run in self.air.runs() if run["run_name"].startswith(experiment)]

    def hold_request(self, skip: int, after: bool) -> None:
        """Never answer one request.

        :param skip: how many requests pass before it.
        :param after: whether its work is done.
        """
        self.air.add_fault("*", then="hang", skip=skip, after=after)

    def wait_for_held(self) -> None:
        """Wait until a request is being held."""
        wait_for(lambda: [r for r in self.air.requests() if r.fault == "hang"], "a request to be held")
