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
"""How a request proves who sends it: with a personal access token here, in all other ways in ``sdk_credentials``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

__all__ = ["PATIENCE", "Credentials", "TokenCredentials", "normalise_host", "workspace_header"]

# Who waits without a limit of its own does not wait longer for a token.
PATIENCE = 60.0
# The SDK asks for a token without a limit: after so many seconds, somebody else asks.
_STUCK = 120.0
_PAUSE = 10.0
_TURN = 0.001
_LOOPBACK = ("localhost", "127.", "::1")


def normalise_host(host: str, *, insecure: bool = False) -> str:
    """Return ``scheme://name[:port]`` without path; ``https`` where no scheme is given.

    :param host: what somebody wrote.
    :param insecure: whether ``http`` is good for other hosts than this machine.
    :raises ValueError: when there is no host name in it, or the way to it is not encrypted.
    """
    parts = urlsplit(host.strip() if "://" in host else f"https://{host.strip()}")
    # A name and a password in it have no part in who we are, and are no business of a log.
    found = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError(f"{found!r} is not a workspace URL such as https://adb-123.azuredatabricks.net")
    if parts.scheme == "http" and not insecure and not parts.hostname.startswith(_LOOPBACK):
        raise ValueError(
            f"{found!r} would send the credentials unencrypted. Write https://, or set allow_insecure_http"
        )
    return found


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

    async def headers(self, limit: float = PATIENCE) -> Mapping[str, str]:
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

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Return whether there can be others than headers that the workspace has refused (401).

        :param refused: what was sent.
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

    async def headers(self, limit: float = PATIENCE) -> Mapping[str, str]:
        """Return the headers of the next request; there is nothing to wait for."""
        return self.headers_soon(limit)

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same, to code that has no event loop."""
        return {"Authorization": f"Bearer {self.token}"} | workspace_header(self.workspace_id)

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Return False: there is no other token here."""
        return False


def workspace_header(workspace_id: str) -> dict[str, str]:
    """Return the header that names the workspace, where one host serves many of them.

    :param workspace_id: empty for no header.
    """
    return {"X-Databricks-Workspace-Id": workspace_id} if workspace_id else {}
