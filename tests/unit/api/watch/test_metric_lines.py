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
"""The line with the newest metrics that a watch tells now and then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.watch.events import Ended, Said
from airflow.providers.databricks_air.api.watch.watch import WatchPlan, watch
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

CONFIG = load_run_config(
    "experiment_name: measured\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "max_retries: 0\ncommand: echo\n"
)
MLFLOW = "*/mlflow/runs/get"


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a server whose runs measure something for two seconds."""
    with LocalAirRuntime(tmp_path) as runtime:
        runtime.on("*").succeeds(after=2, metrics={"loss": [0.5, 0.25]})
        yield runtime


@pytest.fixture
def client(air: LocalAirRuntime) -> Iterator[SyncClient]:
    """Return a client of the server."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    yield client
    client.close()


def told(client: SyncClient, interval: float | None) -> list[str]:
    """Follow a run to its end and return what was told of its metrics."""
    run_id = launch(client, CONFIG, token=str(interval))
    *events, last = watch(client, WatchPlan(run_id, polling_interval=0.2, metrics_interval=interval))
    assert isinstance(last, Ended)
    assert last.run is not None
    assert last.run.state.word == "SUCCESS"
    return [event.text for event in events if isinstance(event, Said) and "loss" in event.text]


def test_the_newest_values_are_told_when_they_change(air: LocalAirRuntime, client: SyncClient) -> None:
    """Values that stay the same are told once, however often they are looked at."""
    assert told(client, 0.1) == ["Metrics: loss=0.25"]
    assert len(air.requests(path=MLFLOW)) > 1


def test_nobody_asks_for_metrics_without_an_interval(air: LocalAirRuntime, client: SyncClient) -> None:
    """Without an interval nothing is told, and MLflow is not asked while the run goes on."""
    assert told(client, None) == []
    assert air.requests(path=MLFLOW) == []


def test_a_look_that_fails_is_a_look_less(air: LocalAirRuntime, client: SyncClient) -> None:
    """Trouble of MLflow is no trouble of the run: the next look tells the values."""
    air.add_fault(MLFLOW, times=2)
    assert told(client, 0.1) == ["Metrics: loss=0.25"]
