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
"""Performs calls: on a worker's threads, or in a triggerer's event loop. One retry rule serves both."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError, error_from_answer
from airflow.providers.databricks_air.api.http.retry import RetryRule

if TYPE_CHECKING:
    import aiohttp
    import requests

__all__ = ["AsyncClient", "SyncClient"]

T = TypeVar("T")
log = logging.getLogger(__name__)

USER_AGENT = "airflow-provider-databricks-air"
# Enough for the uploads of one launch side by side.
MAX_CONNECTIONS = 16


class SyncClient:
    """Performs calls one at a time per thread; any number of threads may share it.

    :param credentials: the workspace and who asks.
    :param rule: when a failed call is sent again.
    :param sleep: waits that many seconds.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        rule: RetryRule | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.credentials = credentials
        self._rule = rule or RetryRule()
        self._sleep = sleep
        self._session: requests.Session | None = None
        self._halted = False
        self.clock_offset = 0.0

    @property
    def session(self) -> requests.Session:
        """The pooled connections, made on first use."""
        if self._session is None:
            import requests
            from requests.adapters import HTTPAdapter

            session = requests.Session()
            # A netrc file must not replace the token of the connection.
            session.auth = lambda request: request
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CONNECTIONS, pool_block=True))
            self._session = session
        return self._session

    def perform(self, call: Call[T]) -> T:
        """Send a call, again where the rule says so, and return what it reads from the answer.

        :raises ApiError: when an error will not pass, or did not pass in the call's budget.
        """
        if self._halted:
            raise ServiceError("not sent: the task is being ended", request=call.label)
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return self._send(call)
            except ApiError as error:
                wait = self._rule.delay(call, error, tries, time.monotonic() - started)
                if wait is None:
                    raise
                _say_again(error, wait)
                self._sleep(wait)

    def halt(self) -> None:
        """Begin no further call; one under way goes on, so that a submission learns its answer."""
        self._halted = True

    def _send(self, call: Call[T]) -> T:
        import requests

        opened = call.content() if call.content else None
        try:
            response = self.session.request(
                call.method,
                _url(self.credentials.host, call),
                headers=_headers({} if call.url else self.credentials.headers(), call),
                json=call.body,
                data=opened,
                timeout=(min(10.0, call.timeout), call.timeout),
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise _no_answer(call, error, self.credentials.host) from None
        finally:
            if opened is not None:
                opened.close()
        self._compare_clocks(response.headers.get("Date", ""))
        return _read(call, Answer(response.status_code, response.headers, response.content))

    def _compare_clocks(self, date: str) -> None:
        """Keep how many seconds the server's clock is ahead of this machine's."""
        with contextlib.suppress(TypeError, ValueError):
            self.clock_offset = email.utils.parsedate_to_datetime(date).timestamp() - time.time()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None


class AsyncClient:
    """Performs calls in the running event loop; any number of coroutines may share it.

    :param credentials: the workspace and who asks.
    :param rule: when a failed call is sent again.
    """

    def __init__(self, credentials: Credentials, *, rule: RetryRule | None = None) -> None:
        self.credentials = credentials
        self._rule = rule or RetryRule()
        self._session: aiohttp.ClientSession | None = None

    async def perform(self, call: Call[T]) -> T:
        """Send a call, again where the rule says so, and return what it reads from the answer.

        :raises ApiError: when an error will not pass, or did not pass in the call's budget.
        """
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return await self._send(call)
            except ApiError as error:
                wait = self._rule.delay(call, error, tries, time.monotonic() - started)
                if wait is None:
                    raise
                _say_again(error, wait)
                await asyncio.sleep(wait)

    async def _send(self, call: Call[T]) -> T:
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=True, auto_decompress=True)
        host, headers = ("", {}) if call.url else await self._authenticate()
        try:
            async with self._session.request(
                call.method,
                # The path is encoded already: %2F must arrive as it is.
                URL(_url(host, call), encoded=True),
                headers=_headers(headers, call),
                json=call.body,
                data=call.content() if call.content else None,
                timeout=aiohttp.ClientTimeout(total=call.timeout, connect=min(10.0, call.timeout)),
                allow_redirects=False,
            ) as response:
                answer = Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise _no_answer(call, error, host) from None
        return _read(call, answer)

    async def _authenticate(self) -> tuple[str, Mapping[str, str]]:
        if self.credentials.is_instant:
            return self.credentials.host, self.credentials.headers()
        return await asyncio.to_thread(lambda: (self.credentials.host, self.credentials.headers()))

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _url(host: str, call: Call[Any]) -> str:
    if call.url:
        return call.url
    query = f"?{urlencode(call.query)}" if call.query else ""
    return f"{host}{call.path}{query}"


def _headers(authentication: Mapping[str, str], call: Call[Any]) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **authentication, **call.headers}
    if call.content:
        headers["Content-Type"] = "application/octet-stream"
    return headers


def _read(call: Call[T], answer: Answer) -> T:
    if answer.status >= 300:
        raise error_from_answer(answer.status, answer.headers, answer.body, request=call.label)
    try:
        return call.read(answer)
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            f"the answer cannot be read ({error})", status=answer.status, request=call.label
        ) from None


def _no_answer(call: Call[Any], error: BaseException, host: str) -> ServiceError:
    # The text of a transport error may hold the whole address, and a signature is a secret.
    what = type(error).__name__ if call.url else _plainly(error)
    host = "the artifact store" if call.url else host
    return ServiceError(f"no answer from {host} ({what})", request=call.label)


def _plainly(error: BaseException) -> str:
    """Return the cause of a transport error in its own words, without the layers that it went through."""
    while error.args and isinstance(inner := getattr(error.args[0], "reason", error.args[0]), BaseException):
        error = inner
    # urllib3 puts itself in front: HTTPConnection(host='…', port=…): Failed to …
    text = re.sub(r"^\S*Connection\w*\(.*?\): ", "", str(error))
    return text or type(error).__name__


def _say_again(error: ApiError, wait: float) -> None:
    log.warning("%s; trying again in %.1f s", error, wait)
