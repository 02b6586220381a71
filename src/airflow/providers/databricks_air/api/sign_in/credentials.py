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
"""The Databricks SDK's ways to sign in, shared by all in this process who have the same fields.

The SDK is imported on first use, in a thread: that alone takes a second.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import math
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.databricks_air.api.http.credentials import PATIENCE, workspace_header
from airflow.providers.databricks_air.api.http.errors import AuthError, ServiceError, unknown_host
from airflow.providers.databricks_air.api.http.trust import proxy_for
from airflow.providers.databricks_air.api.sign_in.token_times import TokenTimes, token_times

if TYPE_CHECKING:
    from databricks.sdk.core import Config

__all__ = ["SdkCredentials", "shared"]

_STUCK = 120.0
_PAUSE = 10.0
"""Seconds between two questions for a token that nobody waits for."""
_TURN = 0.001
"""Seconds after which the import of the SDK lets another thread have its turn."""


@dataclass
class _Kept:
    """What one process keeps of a way to sign in; the times are of the monotonic clock."""

    config: Config | None = None
    asked: Future[Mapping[str, str]] | None = None
    asked_at: float = -math.inf
    forgotten_at: float = -math.inf
    answer: Mapping[str, str] = field(default_factory=dict)
    times: TokenTimes = field(default_factory=TokenTimes)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_open(self) -> bool:
        """Whether somebody is being asked for a token."""
        return self.asked is not None and not self.asked.done()

    def take(self, answer: Mapping[str, str]) -> Mapping[str, str]:
        """Keep headers and how long they are good, counted from when they came first."""
        if answer != self.answer:
            self.answer, self.times = answer, token_times(answer)
        return answer


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
            from airflow.providers.databricks_air.api.sign_in.sdk import open_config

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

    async def headers(self, limit: float = PATIENCE) -> Mapping[str, str]:
        """Return the headers of the next request; a new token is asked for in a thread, once for all who wait.

        Nobody waits while the last token is good: who gives out tokens may be away for the rest of its time.
        """
        if good := self._good():
            return good
        if self._kept.config is None:
            await self._find_host()
        answer = asyncio.wrap_future(self._ask())
        # What comes when nobody waits any more is no error of the loop.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.wait_for(asyncio.shield(answer), limit)
        except asyncio.TimeoutError:
            raise self._late(limit) from None

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same, to code that has no event loop."""
        try:
            return self._good() or self._ask().result(limit)
        except NotInTime:
            raise self._late(limit) from None

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Sign in from the start the next time, and return whether that is another one than the one refused."""
        kept = self._kept
        with kept.lock:
            # A refusal may have another reason, which asking for tokens again and again would not mend.
            if refused == kept.answer and time.monotonic() - kept.forgotten_at > _PAUSE:
                kept.config, kept.answer, kept.times = None, {}, TokenTimes()
                kept.forgotten_at = time.monotonic()
            return refused != kept.answer

    def _good(self) -> Mapping[str, str]:
        """Return the last headers while they are good; asks for others in time, and waits for nobody."""
        kept, now = self._kept, time.monotonic()
        with kept.lock:
            answer, times, is_asked = kept.answer, kept.times, kept.is_open or now - kept.asked_at < _PAUSE
        if now >= times.good_until:
            return {}
        if now >= times.fresh_until and not is_asked:
            self._ask()
        return answer

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
            if kept.is_open and time.monotonic() - kept.asked_at > _STUCK:
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
            answer = self._sign_in()
            with self._kept.lock:
                self._kept.take(answer)
            asked.set_result(answer)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            asked.set_exception(error)

    def _sign_in(self) -> Mapping[str, str]:
        is_old = self._kept.config is not None
        try:
            return self._authenticate()
        except AuthError:
            if not is_old:
                raise
            # What was read when the configuration was made may have run out since, such as an OIDC token.
            self._kept.config = None
            return self._authenticate()

    def _authenticate(self) -> Mapping[str, str]:
        config = self.config
        from airflow.providers.databricks_air.api.sign_in.sdk import authenticate

        # Older SDKs know no such field.
        workspace_id = self.workspace_id or getattr(config, "workspace_id", None) or ""
        return authenticate(config, self.origin) | workspace_header(str(workspace_id))


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
    """Import the SDK so that an event loop beside this thread is not held for longer than some milliseconds."""
    if "databricks.sdk.core" in sys.modules:
        return
    was_on, interval = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_TURN)
    try:
        importlib.import_module("databricks.sdk.core")
    finally:
        sys.setswitchinterval(interval)
        # Some 200,000 objects that stay: as old ones, without the collector looking at them all in one go.
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()
