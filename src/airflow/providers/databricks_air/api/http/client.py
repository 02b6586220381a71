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
"""Sends calls: once for all who run in an event loop, and a face of it for those who do not."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import time
import weakref
from collections.abc import Coroutine, Mapping
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import (
    ApiError,
    AuthError,
    HaltedError,
    ServiceError,
)
from airflow.providers.databricks_air.api.http.loop_thread import LoopThread
from airflow.providers.databricks_air.api.http.retry import RetryRule

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.transport import Transport

__all__ = ["AsyncClient", "SyncClient"]

T = TypeVar("T")
log = logging.getLogger(__name__)

# A call ends by its own limits; who waits for it from a signal handler does not rely on that.
_GRACE = 2.0


class AsyncClient:
    """Performs calls in the running event loop; any number of coroutines may share it.

    :param credentials: the workspace and who asks.
    :param rule: when a failed call is sent again.
    """

    def __init__(self, credentials: Credentials, *, rule: RetryRule | None = None) -> None:
        self.credentials = credentials
        self._rule = rule or RetryRule()
        self._transport: Transport | None = None
        self._halted = asyncio.Event()
        self.clock_offset = 0.0

    async def perform(self, call: Call[T]) -> T:
        """Send a call, again where the rule says so, and return what it reads from the answer.

        :raises ApiError: when an error will not pass, or did not pass in the call's budget.
        :raises HaltedError: once the client is halted, also instead of a repetition.
        """
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            elapsed = time.monotonic() - started
            try:
                # The last try ends with the budget.
                return await self._send(call if tries == 1 else call.hurried(call.budget - elapsed))
            except ApiError as error:
                wait = self._rule.delay(call, error, tries, time.monotonic() - started)
                if wait is None:
                    raise
                if self._halted.is_set():
                    raise HaltedError(f"{call.label}: not sent again, the task is being ended") from error
                log.warning("%s; trying again in %.1f s", error, wait)
                await self._pause(wait)

    @property
    def halted(self) -> asyncio.Event:
        """Set it to send nothing more; a call under way goes on, so that a submission learns its answer."""
        return self._halted

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def _send(self, call: Call[T]) -> T:
        from airflow.providers.databricks_air.api.http.transport import Transport

        if self._transport is None:
            self._transport = Transport()
        credentials = self.credentials
        headers = {} if call.url else await credentials.headers(call.timeout)
        try:
            return await self._ask(call, credentials, headers)
        except AuthError as error:
            if error.status != 401 or not credentials.forget(headers):
                raise
        # Nothing was done: a token may end before its time, as when a secret is rotated.
        return await self._ask(call, credentials, await credentials.headers(call.timeout))

    async def _ask(self, call: Call[T], credentials: Credentials, headers: Mapping[str, str]) -> T:
        if self._halted.is_set():
            raise HaltedError(f"{call.label}: not sent, the task is being ended")
        assert self._transport is not None
        answer = await self._transport.ask(call, credentials, headers)
        self._compare_clocks(answer.headers.get("Date", ""))
        try:
            return call.read(answer)
        except (ValueError, KeyError, TypeError) as error:
            what = f"the answer cannot be read ({error})"
            raise ServiceError(what, status=answer.status, request=call.label) from None

    async def _pause(self, seconds: float) -> None:
        """Wait, but not once the client is halted."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)

    def _compare_clocks(self, date: str) -> None:
        """Keep how many seconds the server's clock is ahead of this machine's."""
        with contextlib.suppress(TypeError, ValueError):
            self.clock_offset = email.utils.parsedate_to_datetime(date).timestamp() - time.time()


class SyncClient:
    """Performs calls for code without an event loop; any number of threads may share it.

    What it does happens in a loop of its own thread, so an exception that a signal handler raises leaves nothing
    half done here. A signal handler may use a client of its own.

    :param credentials: the workspace and who asks.
    :param rule: when a failed call is sent again.
    """

    def __init__(self, credentials: Credentials, *, rule: RetryRule | None = None) -> None:
        self.calls = AsyncClient(credentials, rule=rule)
        self._open()

    def _open(self) -> None:
        # The library takes a tenth of a second to import: here it is done while the caller reads its own files.
        self._thread = LoopThread(first=_import_transport)
        # Not a method: it would keep the client alive.
        self._end = weakref.finalize(self, _end, self._thread, self.calls)

    @property
    def credentials(self) -> Credentials:
        """The workspace and who asks."""
        return self.calls.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self.calls.credentials = credentials

    @property
    def clock_offset(self) -> float:
        """How many seconds the server's clock is ahead of this machine's."""
        return self.calls.clock_offset

    def perform(self, call: Call[T]) -> T:
        """Send a call, again where the rule says so, and return what it reads from the answer.

        :raises ApiError: when an error will not pass, or did not pass in the call's budget.
        """
        try:
            return self.run(self.calls.perform(call), limit=max(call.timeout, call.budget) + _GRACE)
        except NotInTime:
            raise ServiceError("no answer in time", request=call.label) from None

    def run(self, coroutine: Coroutine[Any, Any, T], *, limit: float | None = None) -> T:
        """Run a coroutine that uses :attr:`calls`, and return its result.

        An exception that comes from outside (a signal) cancels it and is raised at once.

        :param coroutine: what to run.
        :param limit: seconds; None for as long as it takes.
        :raises TimeoutError: after so many seconds.
        """
        if not self._end.alive:
            self._open()
        future = self._thread.start(coroutine)
        try:
            return future.result(limit)
        finally:
            future.cancel()

    def halt(self) -> None:
        """Send nothing more; a call under way goes on, so that a submission learns its answer."""
        self._thread.soon(self.calls.halted)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._end()


def _import_transport() -> None:
    import airflow.providers.databricks_air.api.http.transport  # noqa: F401


def _end(thread: LoopThread, calls: AsyncClient) -> None:
    thread.stop(calls.close())
