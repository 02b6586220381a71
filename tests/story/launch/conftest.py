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
"""A local AI Runtime, a client of it, and a configuration that uses every request of a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.http.retry import RetryRule
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.run import RunConfig
from databricks_air_local import LocalAirRuntime

NUMBERS = count()


@dataclass(frozen=True)
class Impatient(RetryRule):
    """The rule of the package, but it waits for nothing, and gives up after four tries.

    :param waits: the seconds that it would have waited.
    """

    waits: list[float] = field(default_factory=list)

    def delay(self, call: Call[Any], error: ApiError, tries: int, elapsed: float) -> float | None:
        """Note what the rule says, and do not wait."""
        wait = super().delay(call, error, tries, elapsed) if tries < 4 else None
        if wait is None:
            return None
        self.waits.append(wait)
        return 0.0


@dataclass
class Launcher:
    """Launches runs of one code directory.

    :param air: the server.
    :param code: the code directory.
    :param waits: the seconds that the client would have waited.
    """

    air: LocalAirRuntime
    code: Path
    waits: list[float] = field(default_factory=list)

    @property
    def client(self) -> SyncClient:
        """A client that waits for nothing and gives up soon."""
        return SyncClient(TokenCredentials(self.air.url, self.air.token), rule=Impatient(waits=self.waits))

    def config(self, **changes: Any) -> RunConfig:
        """Return a configuration whose launch sends every kind of request."""
        fields: dict[str, Any] = {
            "experiment_name": "demo",
            "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
            "command": "true",
            "env_variables": {"A": "1"},
            "parameters": {"lr": 0.1},
            "mlflow_experiment_directory": f"/Workspace/Shared/exp{next(NUMBERS)}",
            "code_source": {"root_path": str(self.code)},
        }
        return RunConfig(**(fields | changes))

    def launch(self, config: RunConfig | None = None, *, token: str | None = None, **options: Any) -> int:
        """Launch a run under a token of its own."""
        client = self.client
        try:
            return launch(client, config or self.config(), token=token or f"token-{next(NUMBERS)}", **options)
        finally:
            client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """A local AI Runtime whose runs succeed at once."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air"), volumes=["main.default.code"]) as runtime:
        runtime.declare(images=["me/train:1", "me/train:2"])
        runtime.on("*").succeeds()
        yield runtime


@pytest.fixture
def launcher(server: LocalAirRuntime, tmp_path: Path) -> Iterator[Launcher]:
    """A launcher with a code directory of its own."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(f"print({next(NUMBERS)})\n")
    server.clear_requests()
    yield Launcher(server, code)
    server.clear_faults()


@pytest.fixture
def created(server: LocalAirRuntime) -> Callable[[], int]:
    """Return a function that says how many runs were created in this test."""
    before = server.runs_created
    return lambda: server.runs_created - before
