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
"""The user's directory in a workspace: asked for at each launch, which meanwhile goes on with what it was last time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials

__all__ = ["HOME_VARIABLE", "find_home", "from_home"]

T = TypeVar("T")
HOME_VARIABLE = "DATABRICKS_INTERNAL_USER_WORKSPACE_DIR"
"""Names the home directory, for this package and for ``databricks air``."""
_MOST = 50
_SECRETS = ("secret", "password", "token", "key", "credentials")


async def find_home(client: AsyncClient) -> str:
    """Return the home directory: that of the environment, of the profile, or of who the credentials belong to.

    :param client: the workspace.
    :raises ApiError: when the workspace does not say who we are.
    """
    if given := _given(client.credentials):
        return given
    home = (await client.perform(calls.me())).home
    _remember(client.credentials, home)
    return home


async def from_home(client: AsyncClient, work: Callable[[str], Awaitable[T]]) -> T:
    """Do work that starts from the home directory, and return what comes of it.

    Where this machine has launched with the same credentials before, the question who we are is asked beside the
    work. With another answer than the last time, what was done is forgotten and done again.

    :param client: the workspace.
    :param work: gets the home directory, or nothing where it has to find it; may be done twice.
    :raises ApiError: when the workspace does not say who we are.
    """
    likely = "" if _given(client.credentials) else _remembered(client.credentials)
    if not likely:
        return await work("")
    done, home = await asyncio.gather(work(likely), find_home(client), return_exceptions=True)
    if isinstance(home, BaseException):
        raise home
    if home != likely:
        return await work(home)
    if isinstance(done, BaseException):
        raise done
    return done


def _given(credentials: Credentials) -> str:
    return (os.environ.get(HOME_VARIABLE) or credentials.home).rstrip("/")


def _remembered(credentials: Credentials) -> str:
    """Return what ``_remember`` kept; nothing where that cannot be read."""
    home = _kept().get(_name(credentials), "")
    return home if isinstance(home, str) and home.startswith("/Workspace/") else ""


def _remember(credentials: Credentials, home: str) -> None:
    """Keep a directory for the next launch from this machine; where that cannot be, the next one asks first."""
    name, kept = _name(credentials), _kept()
    if kept.pop(name, "") == home:
        return
    newest = dict([*kept.items(), (name, home)][-_MOST:])
    with contextlib.suppress(OSError, RuntimeError):
        _file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another process may read it at any time.
        part = _file().with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(newest))
        part.replace(_file())


def _kept() -> dict[str, Any]:
    # RuntimeError: nobody knows where this user's own files are.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        kept = json.loads(_file().read_text())
        return kept if isinstance(kept, dict) else {}
    return {}


def _file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "databricks-air" / "homes.json"


def _name(credentials: Credentials) -> str:
    """Return what stands for whose credentials these are; it tells nothing about them."""
    named = "\n".join([credentials.host, credentials.origin, *_whose(credentials)])
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _whose(credentials: Credentials) -> list[str]:
    """Return what says whose credentials these are: a token, or every field of a sign-in that is no secret."""
    if isinstance(credentials, TokenCredentials):
        return [credentials.token]
    if isinstance(credentials, SdkCredentials):
        fields = sorted(credentials.fields.items())
        return [f"{name}={value}" for name, value in fields if not any(word in name for word in _SECRETS)]
    return []
