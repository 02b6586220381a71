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
"""Starting and stopping the local AI Runtime from Python."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from databricks_air_local.remote import AirControl
from databricks_air_local.state.clock import Clock, RealClock, VirtualClock
from databricks_air_local.state.site import Settings
from databricks_air_local.workspace import Workspace

if TYPE_CHECKING:
    from types import TracebackType

    from databricks_air_local.script.scenario import Scenario

__all__ = ["LocalAirRuntime"]

logger = logging.getLogger(__name__)


class LocalAirRuntime(AirControl):
    """A local AI Runtime in a thread of this process, for as long as the ``with`` block lasts.

    :param directory: where the state is kept; a temporary directory, removed at the end, when left out.
    :param host: address to listen on.
    :param port: port; 0 takes a free one.
    :param clock: ``real``, ``virtual`` for one that only ``advance`` moves, or a clock.
    :param scenario: faults and behaviours to begin with.
    :param settings: ``Settings`` by name, such as ``retry_wait`` (seconds) or ``secrets``.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: str | Clock = "real",
        scenario: Scenario | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(clock, str) and clock not in {"real", "virtual"}:
            raise ValueError(f"clock: {clock!r} is neither 'real' nor 'virtual'")
        if not 0 <= port < 65536:
            raise ValueError(f"port: {port} is not between 0 and 65535")
        self._directory = Path(directory) if directory is not None else None
        self._temporary: Path | None = None
        self._address = (host, port)
        named: dict[str, type[Clock]] = {"real": RealClock, "virtual": VirtualClock}
        self._clock: Clock = named[clock]() if isinstance(clock, str) else clock
        self._scenario = scenario
        self._settings = replace(Settings(), **settings)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: Exception | None = None
        self.workspace: Workspace
        super().__init__("", "")

    @property
    def connection_uri(self) -> str:
        """Return the value of ``AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT``."""
        return connection_uri(self.url, self.token)

    def __enter__(self) -> LocalAirRuntime:
        """Start the server and return when it answers."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and everything it started."""
        self.stop()

    def start(self) -> None:
        """Start the server and return when it answers."""
        self._ready.clear()
        self._error = None
        if self._directory is None:
            self._directory = self._temporary = Path(tempfile.mkdtemp(prefix="air-local-"))
        self._thread = threading.Thread(target=self._run, name="local-air-runtime", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Stop the server and everything it started; the state stays, unless it was temporary."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._directory = self._temporary = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.is_set():
                logger.exception("The local AI Runtime broke down")
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        assert self._directory is not None
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.workspace = Workspace(self._directory, self._settings, self._clock, self._scenario)
        try:
            await self.workspace.start(*self._address)
            self.url, self.token = self.workspace.site.url, self.workspace.tokens.main
            self.control_url = self.workspace.site.listening
            self._ready.set()
            await self._stop.wait()
        finally:
            await self.workspace.stop()


def connection_uri(url: str, token: str) -> str:
    """Return an Airflow connection URI for a server.

    :param url: the server's URL.
    :param token: the token, kept in the password field.
    """
    parts = urlsplit(url)
    return f"databricks-air://:{quote(token, safe='')}@{quote(f'{parts.scheme}://{parts.netloc}', safe='')}"
