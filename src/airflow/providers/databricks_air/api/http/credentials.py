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
"""How a request proves who sends it.

A host and a personal access token need nothing else; every other way is the Databricks SDK's, which is
imported only then, in a thread, because that alone costs a second.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow.providers.databricks_air.api.http.errors import ServiceError, unknown_host
from airflow.providers.databricks_air.api.http.trust import proxy_for

if TYPE_CHECKING:
    from databricks.sdk.core import Config

__all__ = ["Credentials", "SdkCredentials", "TokenCredentials", "normalise_host", "shared"]

# Who waits without a limit of its own does not wait longer for a token.
_PATIENCE = 60.0
# The SDK asks for a token without a limit: after so many seconds, somebody else asks.
_STUCK = 120.0
_LOOPBACK = ("localhost", "127.", "::1")


def normalise_host(host: str, *, insecure: bool = False) -> str:
    """Return ``scheme://name[:port]`` without path; ``https`` where no scheme is given.

    :param host: what somebody wrote.
    :param insecure: whether ``http`` is good for other hosts than this machine.
    :raises ValueError: when there is no host name in it, or the way to it is not encrypted.
    """
    parts = urlsplit(host.strip() if "://" in host else f"https://{host.strip()}")
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError(f"{host!r} is not a workspace URL such as https://adb-123.azuredatabricks.net")
    if parts.scheme == "http" and not insecure and not parts.hostname.startswith(_LOOPBACK):
        raise ValueError(
            f"{host!r} would send the credentials unencrypted. Write https://, or set allow_insecure_http"
        )
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Credentials(Protocol):
    """A workspace and a way to prove who asks it."""

    @property
    def host(self) -> str:
        """The workspace URL, without a trailing slash."""
        ...

    @property
    def home(self) -> str:
        """The user's workspace directory, where the credentials come with one; else empty."""
        ...

    @property
    def origin(self) -> str:
        """Where they come from, for messages: ``connection 'x'``; empty when nobody said."""
        ...

    @property
    def agent(self) -> str:
        """What the User-Agent says beside the package."""
        ...

    async def headers(self, limit: float = _PATIENCE) -> Mapping[str, str]:
        """Return the headers of the next request; gets a new token where the old one is about to expire.

        :param limit: seconds.
        :raises AuthError: when the credentials are refused, or incomplete.
        :raises ServiceError: when who gives out tokens does not answer.
        """
        ...

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same to code that has no event loop, such as a signal handler.

        :param limit: seconds.
        :raises ApiError: as ``headers``.
        """
        ...


@dataclass(frozen=True)
class TokenCredentials:
    """A personal access token.

    :param host: the workspace URL.
    :param token: the token; never part of the representation.
    :param workspace_id: sent with each request where one host serves many workspaces; empty otherwise.
    :param origin: where they come from, for messages.
    :param agent: what the User-Agent says beside the package.
    """

    host: str
    token: str = field(repr=False)
    workspace_id: str = ""
    origin: str = ""
    agent: str = ""
    home: str = ""

    async def headers(self, limit: float = _PATIENCE) -> Mapping[str, str]:
        """Return the headers of the next request; there is nothing to wait for."""
        return self.headers_soon(limit)

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same, to code that has no event loop."""
        return {"Authorization": f"Bearer {self.token}"} | _workspace(self.workspace_id)


@dataclass
class _Kept:
    """What one process keeps of a way to sign in."""

    config: Config | None = None
    asked: Future[Mapping[str, str]] | None = None
    asked_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class SdkCredentials:
    """Anything that ``databricks.sdk.core.Config`` can authenticate with.

    One object is shared by all who have the same fields, see :func:`shared`: it asks for one token at a time.

    :param fields: keyword arguments of ``Config``; ``auth_type`` is among them, unless the SDK is to look around.
    :param workspace_id: sent with each request where one host serves many workspaces; the SDK's own where empty.
    :param origin: where they come from, for messages.
    :param agent: what the User-Agent says beside the package.
    """

    fields: Mapping[str, Any] = field(repr=False)
    workspace_id: str = ""
    origin: str = ""
    agent: str = ""
    _kept: _Kept = field(default_factory=_Kept, compare=False, repr=False)

    @property
    def config(self) -> Config:
        """The SDK's configuration, made on first use; that may take seconds.

        :raises AuthError: when the credentials are refused, or incomplete.
        :raises ServiceError: when who gives out tokens does not answer.
        """
        if self._kept.config is None:
            _import_sdk()
            from airflow.providers.databricks_air.api.http.sign_in import open_config

            self._kept.config = open_config(self.fields, self.origin)
        return self._kept.config

    @property
    def host(self) -> str:
        """The workspace URL; that of a profile is read from its file."""
        return str(self.fields.get("host") or self.config.host).rstrip("/")

    @property
    def home(self) -> str:
        """The ``databricks_internal_user_workspace_dir`` of the selected profile, as for ``databricks air``."""
        if not self.fields.get("profile"):
            return ""
        # The SDK keeps every key of a profile as an attribute, known to it or not.
        return str(getattr(self.config, "databricks_internal_user_workspace_dir", None) or "")

    async def headers(self, limit: float = _PATIENCE) -> Mapping[str, str]:
        """Return the headers of the next request; a new token is asked for in a thread, once for all who wait."""
        if self._kept.config is None:
            await self._find_host()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._ask())), limit)
        except asyncio.TimeoutError:
            raise self._late(limit) from None

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same, to code that has no event loop."""
        try:
            return self._ask().result(limit)
        except NotInTime:
            raise self._late(limit) from None

    def _late(self, limit: float) -> ServiceError:
        whose = f" for {self.origin}" if self.origin else ""
        return ServiceError(f"no token{whose} within {limit:.0f} s")

    async def _find_host(self) -> None:
        """Look for the host first: the SDK would look for it for minutes."""
        host = str(self.fields.get("host") or "")
        if not host or proxy_for(host):
            return
        parts = urlsplit(host)
        try:
            await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                raise unknown_host(host, self.origin) from None

    def _ask(self) -> Future[Mapping[str, str]]:
        """Return the answer that somebody waits for already, or begin to ask."""
        kept = self._kept
        with kept.lock:
            is_open = kept.asked is not None and not kept.asked.done()
            if is_open and time.monotonic() - kept.asked_at > _STUCK:
                # The SDK holds a lock while it asks, so whoever is stuck keeps the old configuration.
                kept.config, kept.asked = None, None
            if kept.asked is None or kept.asked.done():
                kept.asked, kept.asked_at = Future(), time.monotonic()
                threading.Thread(
                    target=self._answer, args=(kept.asked,), name="databricks-air-token", daemon=True
                ).start()
            return kept.asked

    def _answer(self, asked: Future[Mapping[str, str]]) -> None:
        try:
            config = self.config
            from airflow.providers.databricks_air.api.http.sign_in import authenticate

            # Older SDKs know no such field.
            workspace_id = self.workspace_id or getattr(config, "workspace_id", None) or ""
            asked.set_result(authenticate(config, self.origin) | _workspace(str(workspace_id)))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            asked.set_exception(error)


_shared: weakref.WeakValueDictionary[str, SdkCredentials] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def shared(credentials: SdkCredentials) -> SdkCredentials:
    """Return the credentials with the same content that this process has already; else these.

    :param credentials: as read from a connection.
    """
    key = repr(
        (sorted(credentials.fields.items()), credentials.workspace_id, credentials.origin, credentials.agent)
    )
    with _sharing:
        return _shared.setdefault(key, credentials)


def _import_sdk() -> None:
    """Import the SDK without the garbage collector, whose looks at so many new objects hold up every other thread."""
    if "databricks.sdk.core" in sys.modules:
        return
    was_on = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("databricks.sdk.core")
    finally:
        if was_on:
            gc.enable()


def _workspace(workspace_id: str) -> dict[str, str]:
    return {"X-Databricks-Workspace-Id": workspace_id} if workspace_id else {}
