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
import platform
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from airflow.providers.databricks_air import __version__
from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import (
    ApiError,
    MovedError,
    RequestError,
    ServiceError,
    error_from_answer,
    unknown_host,
)
from airflow.providers.databricks_air.api.http.trust import proxy_for, tls_context

__all__ = ["Transport"]

USER_AGENT = (
    f"airflow-provider-databricks-air/{__version__} python/{platform.python_version()} os/{sys.platform}"
)
# Enough for the uploads of one launch side by side.
MAX_CONNECTIONS = 16
CONNECT_SECONDS = 10.0
_PIECE = 1024 * 1024
_REDIRECTS = 5
_PERMANENT = (301, 308)
# What goes with a request to an address that another host has given.
_HARMLESS = ("Accept", "Accept-Encoding", "Range")


class Transport:
    """The pooled connections of one client, made on first use in the running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, dict[str, Any]] = {}

    async def ask(
        self, call: Call[Any], credentials: Credentials, authentication: Mapping[str, str]
    ) -> Answer:
        """Send a request once and return the answer.

        :param call: what to ask.
        :param credentials: whose workspace is asked.
        :param authentication: headers that prove who asks; empty for a call with an address of its own.
        :raises ApiError: when there is no answer, or one with a status of 300 or more.
        """
        url = call.url or _url(credentials.host, call)
        headers = _headers(credentials, call, authentication)
        for _ in range(_REDIRECTS):
            try:
                answer = await self._once(call, url, headers)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                raise _no_answer(call, error, credentials) from None
            target = _target(url, answer)
            if not target:
                break
            if not call.url:
                _check_redirect(call, url, target, answer, credentials)
            elif _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name in _HARMLESS}
            url = target
        if answer.status >= 300:
            raise error_from_answer(answer.status, answer.headers, answer.body, request=call.label)
        return answer

    async def _once(self, call: Call[Any], url: str, headers: Mapping[str, str]) -> Answer:
        with _payload(call) as (data, about):
            async with self._open().request(
                call.method,
                # The path is encoded already: %2F must arrive as it is.
                URL(url, encoded=True),
                headers={**headers, **about},
                json=call.body,
                data=data,
                timeout=_limits(call),
                allow_redirects=False,
                ssl=self._tls if url.startswith("https:") else True,
                **self._through_proxy(url),
            ) as response:
                return Answer(response.status, response.headers, await response.read())

    def _through_proxy(self, url: str) -> dict[str, Any]:
        """Return how to get to a place; who asks thousands of times need not read the environment as often."""
        place = url[: url.find("/", url.find("//") + 2)]
        if place not in self._proxies:
            self._proxies[place] = _through_proxy(url)
        return self._proxies[place]

    @cached_property
    def _tls(self) -> ssl.SSLContext | bool:
        return tls_context() or True

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
    query = f"?{urlencode(call.query)}" if call.query else ""
    return f"{host}{call.path}{query}"


def _headers(credentials: Credentials, call: Call[Any], authentication: Mapping[str, str]) -> dict[str, str]:
    agent = USER_AGENT if call.url else f"{USER_AGENT} {credentials.agent}".rstrip()
    return {"User-Agent": agent, "Accept": "application/json", **authentication, **call.headers}


def _target(url: str, answer: Answer) -> str:
    """Return where an answer sends us; empty for nowhere."""
    location = answer.headers.get("Location", "")
    return urljoin(url, location) if location and answer.status in {301, 302, 303, 307, 308} else ""


def _check_redirect(call: Call[Any], url: str, target: str, answer: Answer, credentials: Credentials) -> None:
    """Allow a detour on the same host; the credentials go nowhere else.

    :raises MovedError: naming the new address.
    """
    repeats = call.method in {"GET", "HEAD"} or answer.status == 307
    if answer.status not in _PERMANENT and repeats and _origin(target) == _origin(url):
        return
    # The rest of the address may hold secrets.
    address = _origin(target) if _origin(target) != _origin(url) else target.partition("?")[0]
    field = f"the host (workspace URL) of {credentials.origin}" if credentials.origin else "the workspace URL"
    raise MovedError(
        f"{_origin(url)} leads to {address}; the credentials were not sent there. Check {field}",
        status=answer.status,
        request=call.label,
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


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
    return {"proxy": proxy.address} if proxy else {}


def _no_answer(call: Call[Any], error: BaseException, credentials: Credentials) -> ApiError:
    if call.url:
        # The text of a transport error may hold the whole address, and a signature is a secret.
        what = f"no answer from the artifact store ({type(error).__name__})"
        return ServiceError(what, request=call.label)
    host = credentials.host
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno != socket.EAI_AGAIN:
        return unknown_host(host, credentials.origin, request=call.label)
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        remedy = "If that is meant to be, name the file with its authority in REQUESTS_CA_BUNDLE"
        what = f"the certificate of {host} is not trusted: {_certificate_fault(error)}. {remedy}"
        return RequestError(what, request=call.label)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        what = f"the proxy {_proxy_name(host)} does not let us to {host}: {error.status} {error.message}"
        return ServiceError(what, request=call.label)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ServiceError(
            f"no answer from the proxy {_proxy_name(host)} ({_plainly(error, call)})", request=call.label
        )
    return ServiceError(f"no answer from {host} ({_plainly(error, call)})", request=call.label)


def _certificate_fault(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", error)
    return str(getattr(inner, "verify_message", "") or inner)


def _proxy_name(url: str) -> str:
    proxy = proxy_for(url)
    return proxy.url if proxy else ""


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
