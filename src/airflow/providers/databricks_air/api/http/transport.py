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
"""One try of one request through aiohttp."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import ServiceError, error_from_answer
from airflow.providers.databricks_air.api.http.trust import proxy_for, tls_context

__all__ = ["Transport"]

USER_AGENT = "airflow-provider-databricks-air"
# Enough for the uploads of one launch side by side.
MAX_CONNECTIONS = 16
CONNECT_SECONDS = 10.0
_PIECE = 1024 * 1024


class Transport:
    """The pooled connections of one client, made on first use in the running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, call: Call[Any], host: str, authentication: Mapping[str, str]) -> Answer:
        """Send a request once and return the answer.

        :param call: what to ask.
        :param host: the workspace URL; empty for a call with an address of its own.
        :param authentication: headers that prove who asks.
        :raises ApiError: when there is no answer, or one with a status of 300 or more.
        """
        url = _url(host, call)
        try:
            with _payload(call) as (data, headers):
                async with self._open().request(
                    call.method,
                    # The path is encoded already: %2F must arrive as it is.
                    URL(url, encoded=True),
                    headers=_headers(authentication, call) | headers,
                    json=call.body,
                    data=data,
                    timeout=_limits(call),
                    allow_redirects=False,
                    ssl=self._tls if url.startswith("https:") else True,
                    **_through_proxy(url),
                ) as response:
                    answer = Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise _no_answer(call, error, host) from None
        if answer.status >= 300:
            raise error_from_answer(answer.status, answer.headers, answer.body, request=call.label)
        return answer

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # The certificates of the world take 20 ms to read.
        return tls_context()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                # Nothing that a server sets, and no netrc file, has a part in who we are.
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _url(host: str, call: Call[Any]) -> str:
    if call.url:
        return call.url
    query = f"?{urlencode(call.query)}" if call.query else ""
    return f"{host}{call.path}{query}"


def _headers(authentication: Mapping[str, str], call: Call[Any]) -> dict[str, str]:
    return {"User-Agent": USER_AGENT, "Accept": "application/json", **authentication, **call.headers}


@contextmanager
def _payload(call: Call[Any]) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give the bytes to send and the headers about them; what is large is read piece by piece."""
    if call.content is None:
        yield None, {}
        return
    with call.content() as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        data = stream.read() if size <= _PIECE else _pieces(stream)
        yield data, {"Content-Type": "application/octet-stream", "Content-Length": str(size)}


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    # A file that was written a moment ago is in memory: a thread for each piece would cost more than the reading.
    while piece := stream.read(_PIECE):
        yield piece


def _limits(call: Call[Any]) -> aiohttp.ClientTimeout:
    """Return the limits of one try; for an upload, the call's own is about the silence after it."""
    connect = min(CONNECT_SECONDS, call.timeout)
    if call.content is None:
        return aiohttp.ClientTimeout(total=call.timeout, sock_connect=connect)
    total = max(call.timeout, call.budget)
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=call.timeout)


def _through_proxy(url: str) -> dict[str, Any]:
    proxy = proxy_for(url)
    if proxy is None:
        return {}
    return {"proxy": proxy.url, "proxy_auth": aiohttp.BasicAuth(*proxy.login) if proxy.login else None}


def _no_answer(call: Call[Any], error: BaseException, host: str) -> ServiceError:
    # The text of a transport error may hold the whole address, and a signature is a secret.
    what = type(error).__name__ if call.url else _plainly(error, call)
    host = "the artifact store" if call.url else host
    return ServiceError(f"no answer from {host} ({what})", request=call.label)


def _plainly(error: BaseException, call: Call[Any]) -> str:
    """Return the cause of a transport error in words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, asyncio.TimeoutError):
        return f"none within {call.timeout:g} s"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        # asyncio puts the call in the place of the reason.
        return os.strerror(error.errno)
    return (getattr(error, "strerror", None) or str(error)) or type(error).__name__
