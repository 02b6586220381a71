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

import json
import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from databricks_air_local import LocalAirRuntime
from databricks_air_local.remote import Recorded
from databricks_air_local.state.clock import RealClock
from tests.story.airflow_cluster import wait_for
from tests.story.chaos.dags import STOCK_COMMAND

__all__ = ["Slot", "experiment_of"]

TOKEN_SECONDS = 5.0  # what a service principal has asked for is good for so long


def experiment_of(run: dict[str, Any]) -> str:
    """Return the experiment that a run was submitted for."""
    return str(run["body"]["tasks"][0]["ai_runtime_task"]["experiment"]).rsplit("/", 1)[-1]


class MovedClock(RealClock):
    """The machine's clock, or one that differs from it by ``ahead`` seconds."""

    ahead = 0.0

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return super().now() + self.ahead


class Slot:
    """A local AI Runtime of its own, on a port that stays.

    :param number: names it.
    :param directory: where its state is kept.
    """

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        self.conn_id = f"air_{number}"
        self.code = directory / "code"
        self.code.mkdir(exist_ok=True)
        self.clock = MovedClock()
        self.air = LocalAirRuntime(
            directory / f"air-{number}", retry_wait=0.1, token_seconds=TOKEN_SECONDS, clock=self.clock
        )
        self.air.start()

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
            f"AIRFLOW_CONN_AIR_{self.number}_PRINCIPAL": json.dumps({**own, "login": "app"}),
            f"AIRFLOW_CONN_STOCK_{self.number}": json.dumps(stock),
        }

    def put_stock_command(self) -> None:
        """Upload the file that the stock operator's run executes; ours uploads its own."""
        api, headers = f"{self.air.url}/api/2.0", {"Authorization": f"Bearer {self.air.token}"}
        made = requests.post(
            f"{api}/workspace/mkdirs",
            json={"path": posixpath.dirname(STOCK_COMMAND)},
            headers=headers,
            timeout=60,
        )
        made.raise_for_status()
        target = f"{api}/workspace-files/import-file/{quote(STOCK_COMMAND[1:], safe='')}?overwrite=true"
        requests.post(target, data=b"true\n", headers=headers, timeout=60).raise_for_status()

    def reset(self) -> None:
        """Forget faults, behaviours and the journal, and put the clock right; runs stay."""
        self.clock.ahead = 0.0
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
        return [run for run in self.air.runs() if experiment_of(run).startswith(experiment)]

    def hold(self, path: str, seconds: float, *, skip: int = 0) -> None:
        """Do the work of one request at once, and answer it so many seconds later."""
        self.air.add_fault(path, then="answer", delay=seconds, skip=skip)

    def swallow(self, path: str, *, after: bool, skip: int = 0) -> None:
        """Never answer one request.

        :param after: whether its work is done.
        """
        self.air.add_fault(path, then="hang", after=after, skip=skip)

    def wait_for_fault(self, path: str = "*", after: int = 0) -> Recorded:
        """Wait until a request has met a fault, and return it.

        :param after: only one with a greater number.
        """

        def ask() -> Recorded | None:
            return next((r for r in self.air.requests(path=path, after=after) if r.fault), None)

        return wait_for(ask, f"a request to {path} to be disturbed", 120, every=0.05)

    def is_held(self, request: Recorded) -> bool:
        """Return whether the request has no answer yet."""
        return not any(
            r.status for r in self.air.requests(after=request.number - 1) if r.number == request.number
        )

    @property
    def last_number(self) -> int:
        """The number of the newest request."""
        return max((one.number for one in self.air.requests()), default=0)
