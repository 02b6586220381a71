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
"""The log of a run over real HTTP: both drivers, both sources, and what a failure says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from airflow.providers.databricks_air.api.fleet.watcher import Watcher
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.logs.stream import LogStream
from airflow.providers.databricks_air.api.watch.watch import Ended, Lines, WatchPlan, watch
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.run.logs.lines import NOTICE, LogLine
from databricks_air_local import LocalAirRuntime

pytestmark = pytest.mark.plain

ENDPOINT = "*/by-run-id/*/logs"
Read = Callable[[LocalAirRuntime, int, LogStream], list[LogLine]]


def start(air: LocalAirRuntime, command: str, *, nodes: int = 1, **fields: object) -> int:
    """Start a run and return its id."""
    config = load_run_config(
        {
            "experiment_name": "story",
            "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": nodes},
            "command": command,
            "max_retries": 0,
            **fields,
        }
    )
    return launch(SyncClient(TokenCredentials(air.url, air.token)), config, token=uuid4().hex)


def read_sync(air: LocalAirRuntime, run_id: int, stream: LogStream) -> list[LogLine]:
    """Watch a run from this thread and return its lines."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    events = watch(client, WatchPlan(run_id, 0.3), stream=stream)
    return [line for event in events if isinstance(event, Lines) for line in event.lines]


def read_async(air: LocalAirRuntime, run_id: int, stream: LogStream) -> list[LogLine]:
    """Watch a run from an event loop and return its lines."""

    async def follow() -> list[LogLine]:
        client = AsyncClient(TokenCredentials(air.url, air.token))
        try:
            events = Watcher(client).follow(WatchPlan(run_id, 0.3), stream=stream)
            return [line async for event in events if isinstance(event, Lines) for line in event.lines]
        finally:
            await client.close()

    return asyncio.run(follow())


both_drivers = pytest.mark.parametrize("read", [read_sync, read_async], ids=["sync", "async"])


def texts(lines: list[LogLine]) -> list[str]:
    """Return what the run said."""
    return [line.text for line in lines if line.node != NOTICE]


def notices(lines: list[LogLine]) -> list[str]:
    """Return what was said about the log."""
    return [line.text for line in lines if line.node == NOTICE]


@pytest.fixture(params=["new", "old"])
def any_layout(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime whose artifacts lie in the one or the other layout."""
    with LocalAirRuntime(tmp_path / "air", retry_wait=0.1, artifact_layout=request.param) as runtime:
        yield runtime


@both_drivers
def test_a_workspace_without_the_endpoint_is_read_from_artifacts(
    any_layout: LocalAirRuntime, read: Read
) -> None:
    """FEATURE_DISABLED changes over to the artifacts of either layout, says so once and prints everything."""
    any_layout.add_fault(ENDPOINT, times=-1, status=403, error_code="FEATURE_DISABLED", message="not here")
    run_id = start(any_layout, "for i in $(seq 1 30); do echo line $i; sleep 0.1; done; printf end")

    lines = read(any_layout, run_id, LogStream(run_id, longest_delay=0.5))

    assert texts(lines) == [*(f"line {i}" for i in range(1, 31)), "end"]
    assert notices(lines) == [
        "The log is read from the MLflow run's artifacts from here on (FEATURE_DISABLED from the log endpoint)"
    ]


@both_drivers
def test_artifacts_in_a_volume_are_read_through_the_files_api(air: LocalAirRuntime, read: Read) -> None:
    """An experiment whose artifacts lie in a Unity Catalog volume has a log too."""
    air.add_fault(ENDPOINT, times=-1, status=404, error_code="ENDPOINT_NOT_FOUND", message="not here")
    air.declare(volumes=["main.ml.artifacts"])
    run_id = start(air, "echo one; echo two", mlflow_artifact_location="/Volumes/main/ml/artifacts")

    lines = read(air, run_id, LogStream(run_id, longest_delay=0.5))

    assert texts(lines) == ["one", "two"]
    assert air.requests("GET", "/api/2.0/fs/files/*")


def test_each_attempt_has_artifacts_of_its_own(any_layout: LocalAirRuntime) -> None:
    """After a retry the second attempt's artifacts are read after the first one's."""
    any_layout.add_fault(ENDPOINT, times=-1, status=404, error_code="ENDPOINT_NOT_FOUND", message="not here")
    any_layout.on("story").fails(0.5, logs=["first"]).succeeds(0.5, logs=["second"])
    run_id = start(any_layout, "true", max_retries=1)

    lines = read_sync(any_layout, run_id, LogStream(run_id, longest_delay=0.5))

    assert texts(lines) == ["first", "ERROR: Script failed with exit code 1 after 0.5s", "second"]


def test_reading_goes_on_within_the_artifacts(any_layout: LocalAirRuntime) -> None:
    """A position in the artifacts is taken up by another stream without loss or repetition."""
    any_layout.add_fault(ENDPOINT, times=-1, status=403, error_code="FEATURE_DISABLED", message="not here")
    run_id = start(any_layout, "for i in $(seq 1 40); do echo line $i; sleep 0.1; done")
    client = SyncClient(TokenCredentials(any_layout.url, any_layout.token))
    printed: list[str] = []
    cursor = None
    for _ in range(3):
        stream = LogStream(run_id, cursor=cursor, longest_delay=0.3)
        for event in watch(client, WatchPlan(run_id, 0.3), stream=stream):
            if isinstance(event, Lines):
                printed += texts(event.lines)
                cursor = stream.cursor
                break

    rest = read_sync(any_layout, run_id, LogStream(run_id, cursor=cursor, longest_delay=0.3))

    assert [*printed, *texts(rest)] == [f"line {i}" for i in range(1, 41)]


def test_an_endpoint_that_stays_silent_is_left_when_the_artifacts_have_lines(air: LocalAirRuntime) -> None:
    """A finished run of which the endpoint knows nothing is read from the artifacts."""
    air.add_fault(ENDPOINT, times=-1, status=200, body='{"log_records": []}')
    run_id = start(air, "echo only there")

    lines = read_sync(air, run_id, LogStream(run_id, longest_delay=0.5))

    assert texts(lines) == ["only there"]
    assert "the log endpoint has nothing" in notices(lines)[0]


@both_drivers
def test_a_run_that_says_nothing_says_so_once(air: LocalAirRuntime, read: Read) -> None:
    """A log without lines ends in one line with the state, not in silence."""
    air.on("story").fails(0.2, message="gone wrong", logs=[])
    run_id = start(air, "true")
    lines = read(air, run_id, LogStream(run_id, longest_delay=0.5))

    if not texts(lines):
        assert [line for line in notices(lines) if line.startswith(f"No logs available for run {run_id}. ")]


@both_drivers
def test_what_the_platform_says_of_every_command_is_not_printed(tmp_path: Path, read: Read) -> None:
    """The line about a missing requirements.yaml is hidden; the command's own first line is the first."""
    with LocalAirRuntime(tmp_path / "air", requirements_notice=True) as air:
        run_id = start(air, "echo first")
        assert texts(read(air, run_id, LogStream(run_id))) == ["first"]


def test_a_quiet_run_costs_one_request_an_interval(air: LocalAirRuntime) -> None:
    """While nothing comes, the log is asked for less and less often, and never more than once an interval."""
    air.on("story").hangs(logs=["hello"])
    run_id = start(air, "true")
    stream = LogStream(run_id, longest_delay=2.0)
    client = SyncClient(TokenCredentials(air.url, air.token))

    *_, last = watch(client, WatchPlan(run_id, 2.0, deadline=time.time() + 9), stream=stream)

    assert isinstance(last, Ended)
    assert last.why == "expired"
    asked = [request.time for request in air.requests("GET", ENDPOINT)]
    assert len([at for at in asked if at > asked[0] + 4]) <= 3
