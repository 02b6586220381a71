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

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch, send_files
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from airflow.providers.databricks_air.lifecycle.end.cancel import go_on_alone
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_0_PLUS
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


# A task's process on Airflow 3 that must end before Airflow has told it who has ended the task.
CUT_SHORT = """
import os, socket, sys
from airflow.sdk.execution_time import comms, task_runner
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.lifecycle.end.cancel import go_on_alone
from airflow.providers.databricks_air.lifecycle.end.channel import channel

url, token, run_id, descriptor, began = sys.argv[1:]
task_runner.SUPERVISOR_COMMS = comms.CommsDecoder(socket=socket.socket(fileno=int(descriptor)))
question = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1}
go_on_alone(
    TokenCredentials(url, token),
    run_id=int(run_id),
    question={**question, "began": began or None, "on_clear": "rerun"},
    channel=channel(),
)
os._exit(1)
"""


def answer(channel: socket.socket, state: str) -> None:
    """Answer as the supervisor of a task does: first what the dead process has waited for, then each question."""
    import msgspec
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import comms

    file = channel.makefile("rb")
    channel.sendall(comms._ResponseFrame(id=3, body=None).as_bytes())
    while header := file.read(4):
        request = msgspec.msgpack.decode(file.read(int.from_bytes(header, "big")))
        frame = comms._ResponseFrame(
            id=request[0], body=comms.TaskStatesResult(task_states={"r": {"t": state}}).model_dump()
        )
        if request[1]["type"] == "GetDagRun":
            gone = comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})
            frame = comms._ResponseFrame(id=request[0], error=gone.model_dump())
        channel.sendall(frame.as_bytes())


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 gives a task's process the time to ask")
@pytest.mark.parametrize(
    ("state", "began", "alive"),
    [("failed", "", 0), ("running", "", 1), ("running", "2026-11-21T00:00:00+00:00", 0)],
    ids=["ended by a person", "lost", "of a Dag run that was deleted and created again"],
)
def test_the_question_who_ended_a_task_outlives_its_process(
    air: LocalAirRuntime, client: SyncClient, state: str, began: str, alive: int
) -> None:
    """A process of its own hears the answer, and ends the run of a task that a person has ended, and no other."""
    run_id = launch(client, CONFIG, token=f"asked-{state}{began}")
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=answer, args=(ours, state))
    thread.start()
    with theirs:
        arguments = [air.url, air.token, str(run_id), str(theirs.fileno()), began]
        command = [sys.executable, "-c", CUT_SHORT, *arguments]
        environment = {**os.environ, "_AIRFLOW__AS_LIBRARY": "1"}
        subprocess.run(command, pass_fds=[theirs.fileno()], env=environment, check=False)
    # It ends when the last process that has the channel closes it.
    thread.join(120)
    assert not thread.is_alive()
    if not alive:
        until(lambda: run_id not in air.runs_alive)
    assert len(air.requests(path="*/runs/cancel")) == 1 - alive
    ours.close()
