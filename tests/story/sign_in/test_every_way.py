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

"""Every way to sign in, in both modes, while those who give out tokens are well, and while they are not."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.hooks.sign_in import METHODS
from databricks_air_local import LocalAirRuntime
from tests.story.sign_in.identity_servers import IdentityServers
from tests.story.sign_in.ways import Ways

# On a busy machine that alone takes longer than a question may.
pytest.importorskip("databricks.sdk.core")

OAUTH = [way for way in METHODS if way != "pat"]
ME = "/api/2.0/preview/scim/v2/Me"
USER = "you@example.com"
# The one has no word for a refusal; of the other the SDK tells none when it starts anew.
SILENT = {"metadata-service", "azure-cli"}
WELL = dict.fromkeys(METHODS, USER)


@pytest.fixture
def ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    """Connections for all ways, whose tokens are good for five seconds."""
    yield from _ways(tmp_path, monkeypatch, 5)


@pytest.fixture
def hourly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    """The same with tokens of an hour."""
    yield from _ways(tmp_path, monkeypatch, 3600)


def _ways(directory: Path, patch: pytest.MonkeyPatch, seconds: float) -> Iterator[Ways]:
    with (
        LocalAirRuntime(directory / "air", token_seconds=seconds) as air,
        IdentityServers(air, directory, seconds) as world,
    ):
        found = Ways(world, directory)
        for name in ("https_proxy", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        for name, value in found.environment.items():
            patch.setenv(name, value)
        patch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        yield found


class Everyone:
    """Somebody who has signed in, for each way to do so, on the worker or in the triggerer.

    :param mode: ``worker`` or ``triggerer``.
    """

    def __init__(self, mode: str) -> None:
        self._loop = asyncio.new_event_loop() if mode == "triggerer" else None
        if self._loop:
            self._clients: dict[str, Any] = self._loop.run_until_complete(_open_in_loop())
        else:
            self._clients = {
                way: SyncClient(AirRuntimeHook(_conn_id(way)).get_credentials()) for way in METHODS
            }

    def __enter__(self) -> Everyone:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            if self._loop:
                self._loop.run_until_complete(client.close())
            else:
                client.close()
        if self._loop:
            self._loop.close()

    def ask(self, budget: float = 90.0) -> dict[str, str | ApiError]:
        """Ask who we are in every way at once; return the names, or what went wrong, by way.

        :param budget: seconds in which a question may be repeated.
        """
        call = calls.me().within(budget)
        if self._loop:
            found = self._loop.run_until_complete(_ask_in_loop(self._clients.values(), call))
        else:
            with ThreadPoolExecutor(len(self._clients)) as pool:
                found = list(pool.map(lambda one: _perform(one, call), self._clients.values()))
        return {way: getattr(one, "user_name", one) for way, one in zip(self._clients, found, strict=True)}


async def _open_in_loop() -> dict[str, AsyncClient]:
    return {way: AsyncClient(await AirRuntimeHook(_conn_id(way)).aget_credentials()) for way in METHODS}


async def _ask_in_loop(clients: Iterable[AsyncClient], call: Call[Any]) -> list[Any]:
    return await asyncio.gather(*(client.perform(call) for client in clients), return_exceptions=True)


def _perform(client: SyncClient, call: Call[Any]) -> Any:
    try:
        return client.perform(call)
    except ApiError as error:
        return error


def _conn_id(way: str) -> str:
    return way.replace("-", "_")


@pytest.fixture(params=["worker", "triggerer"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both modes in turn."""
    return str(request.param)


def test_every_way_outlives_its_tokens(ways: Ways, mode: str) -> None:
    """Tokens of five seconds are renewed before they end, in every way: nobody sees a refusal."""
    with Everyone(mode) as everyone:
        for _ in range(4):
            assert everyone.ask() == WELL
            time.sleep(1)
    # The SDK leaves no token its last 40 seconds, so each question needs one.
    assert {way: count for way in OAUTH if (count := ways.world.fetched(way)) < 4} == {}


def test_every_way_keeps_its_token_while_it_is_good(hourly: Ways, mode: str) -> None:
    """A token of an hour is asked for once, also where the SDK would ask for one with each request."""
    world = hourly.world
    with Everyone(mode) as everyone:
        for _ in range(5):
            assert everyone.ask() == WELL
        # A machine's and a service principal's sign-in to Azure has two tokens, and Google's too.
        most = {way: 3 if way.startswith(("azure", "google")) else 1 for way in OAUTH}
        assert {way: count for way in OAUTH if (count := world.fetched(way)) > most[way]} == {}
        # Whoever has a good token needs nobody who gives out another.
        world.break_down("down")
        assert everyone.ask() == WELL


@pytest.mark.parametrize(
    "fault",
    ["down", pytest.param("503", marks=pytest.mark.long), pytest.param("garbage", marks=pytest.mark.long)],
)
def test_trouble_in_the_middle_passes(hourly: Ways, mode: str, fault: str) -> None:
    """Tokens end while whoever gives out others is away for some seconds: every question is answered in the end."""
    with Everyone(mode) as everyone:
        assert everyone.ask() == WELL
        hourly.world.break_down(fault)
        hourly.world.end_tokens()
        recovery = threading.Timer(3.0, hourly.world.break_down, [""])
        recovery.start()
        assert everyone.ask() == WELL
        recovery.join()


def test_a_refusal_in_the_middle_is_an_outcome(hourly: Ways, mode: str) -> None:
    """It is told with the connection, the words of whoever refuses and a remedy, and without a secret."""
    with Everyone(mode) as everyone:
        assert everyone.ask() == WELL
        hourly.world.break_down("refuse")
        hourly.world.end_tokens()
        found = everyone.ask(budget=8.0)
    assert found["pat"] == USER
    said = {way: found[way] for way in OAUTH if way not in SILENT}
    assert {way: error for way, error in said.items() if not isinstance(error, AuthError)} == {}
    for way, error in said.items():
        assert f"connection '{_conn_id(way)}'" in str(error)
        assert hourly.world.air.token not in str(error)
