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
"""Both clients against a real server that misbehaves: one rule, two ways to send."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import (
    ApiError,
    AuthError,
    NotFoundError,
    RequestError,
    RunNotFoundError,
    ServiceError,
)
from airflow.providers.databricks_air.api.http.retry import RetryRule
from databricks_air_local import LocalAirRuntime

ME = "/api/2.0/preview/scim/v2/Me"
MKDIRS = "/api/2.0/workspace/mkdirs"
Perform = Callable[[Call[Any]], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """Start one server for all tests here."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air")) as runtime:
        yield runtime


@pytest.fixture
def air(server: LocalAirRuntime) -> Iterator[LocalAirRuntime]:
    """Return the server, and take back what a test did to it."""
    server.clear_requests()
    yield server
    server.clear_faults()
    server.renew_token()


def performer(kind: str, credentials: TokenCredentials) -> Perform:
    """Return a function that performs one call with the client of that kind, in quick retries."""
    rule = RetryRule(first=0.01)
    if kind == "sync":
        return SyncClient(credentials, rule=rule).perform

    async def perform(call: Call[Any]) -> Any:
        client = AsyncClient(credentials, rule=rule)
        try:
            return await client.perform(call)
        finally:
            await client.close()

    return lambda call: asyncio.run(perform(call))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each client in turn."""
    return str(request.param)


@pytest.fixture
def perform(kind: str, air: LocalAirRuntime) -> Perform:
    """Return what performs a call on the server."""
    return performer(kind, TokenCredentials(air.url, air.token))


def sent(air: LocalAirRuntime, path: str) -> int:
    """Return how often a path was asked for."""
    return len(air.requests(path=path))


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "headers": {"Retry-After": "0"}},
        {"status": 429},
        {"status": 500},
        {"status": 502},
        {"then": "reset"},
        {"then": "reset", "after": True},
        {"then": "garbage"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_blip_is_asked_again(air: LocalAirRuntime, perform: Perform, fault: dict[str, Any]) -> None:
    """Whatever passes is asked for again until there is an answer."""
    air.add_fault(ME, times=2, **fault)
    assert perform(calls.me()).user_name == "you@example.com"
    assert sent(air, ME) == 3


def test_retry_after_is_waited_for(air: LocalAirRuntime, kind: str) -> None:
    """The server's own word on when to come back is the least that is waited."""
    air.add_fault(ME, times=1, status=429, headers={"Retry-After": "7"})
    call, error = calls.me(), None
    with pytest.raises(ServiceError) as caught:
        performer(kind, TokenCredentials(air.url, air.token))(call.once())
    error = caught.value
    assert error.retry_after == 7
    assert RetryRule().delay(call, error, tries=1, elapsed=0) == 7


def test_what_creates_without_a_token_is_sent_once(air: LocalAirRuntime, perform: Perform) -> None:
    """A submission that cannot be repeated safely is not repeated."""
    air.add_fault("/api/2.2/jobs/runs/submit", status=503)
    with pytest.raises(ServiceError):
        perform(calls.submit_run({"run_name": "x"}))
    assert sent(air, "/api/2.2/jobs/runs/submit") == 1


def test_a_budget_ends_the_repetition(air: LocalAirRuntime, perform: Perform) -> None:
    """When the time for a call is over, the last error is the answer."""
    air.add_fault(ME, status=503, times=10_000)
    with pytest.raises(ServiceError, match="503"):
        perform(calls.me().within(0.5))
    assert sent(air, ME) > 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (calls.get_run(12345), RunNotFoundError),
        (calls.cancel_run(12345), RunNotFoundError),
        (calls.get_status("/Workspace/nothing"), NotFoundError),
        (calls.submit_run({"idempotency_token": "t"}), RequestError),
    ],
    ids=["get", "cancel", "get-status", "submit"],
)
def test_a_refusal_is_final(
    air: LocalAirRuntime, perform: Perform, call: Call[Any], error: type[ApiError]
) -> None:
    """A client error is told at once, as what it is, with the server's words."""
    with pytest.raises(error) as caught:
        perform(call)
    assert caught.value.message
    assert len(air.requests()) == 1


def test_a_wrong_token_is_the_administrators_business(air: LocalAirRuntime, kind: str) -> None:
    """401 is told at once, and the token is in no message."""
    expired = air.issue_token(0)
    with pytest.raises(AuthError) as caught:
        performer(kind, TokenCredentials(air.url, expired))(calls.me())
    assert expired not in repr(caught.value)
    assert sent(air, ME) == 1


def test_no_server_is_said_with_its_address(kind: str) -> None:
    """A host that does not answer is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ServiceError, match=host):
        performer(kind, TokenCredentials(host, "t"))(calls.me().once())


def test_a_file_arrives_whole_on_each_try(air: LocalAirRuntime, perform: Perform) -> None:
    """A path with spaces and slashes and a body that is sent twice arrive as they are."""
    perform(calls.mkdirs("/Workspace/Users/you@example.com/a b"))
    air.lose_answer("/api/2.0/workspace-files/import-file/*", times=1)
    path, content = "/Workspace/Users/you@example.com/a b/ü%2F.bin", bytes(range(256)) * 100
    perform(calls.import_file(path, lambda: io.BytesIO(content)))
    assert perform(calls.get_status(path))["size"] == len(content)


def test_the_token_is_not_in_the_representation(tmp_path: Path) -> None:
    """Credentials can be logged by mistake without harm."""
    assert "secret" not in repr(TokenCredentials("https://x", "secret"))
