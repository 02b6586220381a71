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
"""A cancel that was promised is kept after the process that promised it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import SdkCredentials, TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch, send_files
from airflow.providers.databricks_air.lifecycle.end.cancel import go_on_alone
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

CONFIG = load_run_config(
    "experiment_name: promise\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "max_retries: 0\ncommand: echo\n"
)


@pytest.fixture
def client(air: LocalAirRuntime, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncClient]:
    """Return a client in an environment like that of an Airflow 3 task, which must not use the database."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    air.on("*").hangs()
    client = SyncClient(TokenCredentials(air.url, air.token))
    yield client
    client.close()


def until(ask: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_a_cancel_outlasts_an_outage(air: LocalAirRuntime, client: SyncClient) -> None:
    """A process of its own asks again until the workspace is back."""
    run_id = launch(client, CONFIG, token="outage")
    air.add_fault("*/runs/cancel", then="reset", times=3)
    go_on_alone(client.credentials, run_id=run_id)
    until(lambda: run_id not in air.runs_alive)
    assert len(air.requests(path="*/runs/cancel")) == 4


def test_a_cancel_outlasts_an_outage_of_who_gives_out_tokens(
    air: LocalAirRuntime, client: SyncClient
) -> None:
    """Where no token can be had in the moment of the promise, the process gets one by itself later."""
    run_id = launch(client, CONFIG, token="tokens")
    air.add_fault("*/oidc/v1/token", then="reset", times=-1)
    fields = {"host": air.url, "client_id": "app", "client_secret": air.token, "auth_type": "oauth-m2m"}
    go_on_alone(SdkCredentials(fields), run_id=run_id)
    air.clear_faults()
    until(lambda: run_id not in air.runs_alive)


def test_a_submission_whose_answer_nobody_heard_is_found_by_its_token(
    air: LocalAirRuntime, client: SyncClient
) -> None:
    """Sent again, it gives the id of the run that it has made; that run is ended, and no other one is made."""
    ready = send_files(client, CONFIG, token="unheard")
    client.perform(submit_run(ready.body))
    go_on_alone(client.credentials, run_id=None, body=ready.body)
    until(lambda: not air.runs_alive)
    assert air.runs_created == 1
