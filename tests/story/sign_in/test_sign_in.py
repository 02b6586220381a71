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
"""A service principal's tokens run out again and again while a run is followed."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.lifecycle.launch import find_or_submit
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster.waiting import wait_for
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TOKEN = "/oidc/v1/token"
TASK = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.5, deferrable=%s)"
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
command: sleep %s
"""


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirRuntime]:
    """A workspace whose tokens are good for two seconds, and a service principal as the default connection."""
    with LocalAirRuntime(tmp_path / "air", token_seconds=2) as runtime:
        connection = {
            "conn_type": "databricks_air",
            "host": runtime.url,
            "login": "app",
            "password": runtime.token,
        }
        monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", json.dumps(connection))
        yield runtime


FAULTS: dict[str, dict[str, Any]] = {
    "down": {"then": "reset"},
    "503": {"status": 503},
    "garbage": {"then": "garbage"},
}


@pytest.mark.parametrize(
    ("deferrable", "fault"),
    [
        pytest.param(False, "down", id="sync-down"),
        pytest.param(True, "503", id="deferrable-503"),
        pytest.param(False, "garbage", id="sync-garbage", marks=pytest.mark.long),
        pytest.param(True, "garbage", id="deferrable-garbage", marks=pytest.mark.long),
    ],
)
def test_a_run_outlives_its_tokens(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool, fault: str
) -> None:
    """The task succeeds, whatever the identity server does for some seconds in the middle; nobody sees a 401."""
    air.on("story").hangs()

    def renewed() -> int:
        return len([request for request in air.requests(path=TOKEN) if request.status == 200])

    def disturb() -> None:
        wait_for(lambda: air.runs_alive, "the run", 100, every=0.1)
        air.add_fault(TOKEN, times=-1, **FAULTS[fault])
        time.sleep(3)
        air.clear_faults()
        before = renewed()
        wait_for(lambda: renewed() > before + 1, "new tokens", 100, every=0.1)
        air.release(air.runs_alive[0])

    with ThreadPoolExecutor(1) as pool:
        disturber = pool.submit(disturb)
        outcome = run_dag(TASK % deferrable, train=TRAIN % 1)
        disturber.result()
    assert outcome.states == {"train": "success"}, outcome.text
    assert len(air.runs()) == 1
    assert [request.path for request in air.requests() if request.status == 401] == []
    assert air.token not in outcome.text


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_an_identity_server_that_is_away_at_the_start(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool
) -> None:
    """A task that begins, and a trigger that begins, while there are no tokens waits for them."""
    air.add_fault(TOKEN, times=3, status=503)
    outcome = run_dag(TASK % deferrable, train=TRAIN % 1)
    assert outcome.states == {"train": "success"}, outcome.text


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_wrong_secret_launches_nothing(
    air: LocalAirRuntime, run_dag: RunDag, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task fails with the reason, the connection and the remedy, and nothing was written anywhere."""
    body = json.dumps({"error": "invalid_client", "error_description": "Client authentication failed"})
    headers = {"Content-Type": "application/json"}
    air.add_fault(TOKEN, times=-1, status=401, body=body, headers=headers)
    monkeypatch.setattr(find_or_submit, "FRESH_PATIENCE", 1.0)
    outcome = run_dag(TASK % deferrable, train=TRAIN % 1)
    assert outcome.states == {"train": "failed"}, outcome.text
    assert "invalid_client: Client authentication failed" in outcome.text
    assert "connection 'databricks_air_default'" in outcome.text
    assert not air.runs()
    assert not air.requests(method="POST", path="/api/*")


@pytest.mark.parametrize(("deferrable", "login"), [(True, ""), (False, "app")], ids=["token", "principal"])
def test_no_secret_is_written_down(
    air: LocalAirRuntime,
    run_dag: RunDag,
    airflow_db: Path,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    login: str,
) -> None:
    """Neither the secret of the connection nor a token made from it is in a log, the database or a launch directory."""
    fields = {"conn_type": "databricks_air", "host": air.url, "login": login, "password": air.token}
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", json.dumps(fields))
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        texts = [
            run_dag(TASK % deferrable, train=TRAIN % 1).text,
            run_dag(TASK % deferrable, train=(TRAIN % 1).replace("sleep", "false; exit")).text,
        ]
    finally:
        logger.setLevel(before)
    sent = "".join(str(request) for request in air.requests(path="/api/2.0/workspace-files/*"))
    for place in (*texts, airflow_db.read_bytes().decode("latin-1"), sent):
        assert air.token not in place
        assert not re.search(r"\blocal[0-9a-f]{32}\b", place)
