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
"""What the stories share: a local AI Runtime, and Dags that really run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.state.clock import VirtualClock
from tests.story.dag_runner import DagRunner


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime and point the default connection at it."""
    with LocalAirRuntime(tmp_path / "air", retry_wait=0.1) as runtime:
        connection = {"conn_type": "databricks_air", "host": runtime.url, "password": runtime.token}
        monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", json.dumps(connection))
        yield runtime


@pytest.fixture
def fast_air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime on whose clock a minute passes in a second."""
    with LocalAirRuntime(tmp_path / "air", clock=VirtualClock(speed=60)) as runtime:
        connection = {"conn_type": "databricks_air", "host": runtime.url, "password": runtime.token}
        monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", json.dumps(connection))
        yield runtime


@pytest.fixture
def run_dag(airflow_db: Path, airflow_home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """Return a function that runs a Dag with one task named ``train`` through Airflow."""
    return DagRunner(airflow_home / "dags", capfd).run
