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
imported only then because that alone costs a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow.providers.databricks_air.api.http.errors import AuthError

if TYPE_CHECKING:
    from databricks.sdk.core import Config

__all__ = ["Credentials", "SdkCredentials", "TokenCredentials", "normalise_host"]


def normalise_host(host: str) -> str:
    """Return ``scheme://name[:port]`` without path; ``https`` where no scheme is given.

    :raises ValueError: when there is no host name in it.
    """
    parts = urlsplit(host.strip() if "://" in host else f"https://{host.strip()}")
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError(f"{host!r} is not a workspace URL such as https://adb-123.azuredatabricks.net")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Credentials(Protocol):
    """A workspace and a way to prove who asks it.

    ``is_instant`` says that ``headers`` never waits, so that an event loop may call it.
    """

    @property
    def host(self) -> str:
        """The workspace URL, without a trailing slash."""
        ...

    @property
    def is_instant(self) -> bool:
        """Whether ``headers`` returns without waiting for anything."""
        ...

    @property
    def home(self) -> str:
        """The user's workspace directory, where the credentials come with one; else empty."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request; fetches a new token where the old one has expired.

        :raises AuthError: when there is no way to get one.
        """
        ...


@dataclass(frozen=True)
class TokenCredentials:
    """A personal access token.

    :param host: the workspace URL.
    :param token: the token; never part of the representation.
    :param workspace_id: sent with each request where one host serves many workspaces; empty otherwise.
    """

    host: str
    token: str = field(repr=False)
    workspace_id: str = ""
    is_instant: bool = True
    home: str = ""

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.workspace_id:
            headers["X-Databricks-Workspace-Id"] = self.workspace_id
        return headers


@dataclass(frozen=True)
class SdkCredentials:
    """Anything that ``databricks.sdk.core.Config`` can authenticate with.

    :param fields: keyword arguments of ``Config``; empty to let it look at the environment.
    :param workspace_id: sent with each request where one host serves many workspaces; the SDK's own where empty.
    """

    fields: Mapping[str, Any] = field(repr=False)
    workspace_id: str = ""
    is_instant: bool = False

    @cached_property
    def config(self) -> Config:
        """The SDK's configuration, made on first use.

        :raises AuthError: when the SDK finds no way to authenticate.
        """
        from databricks.sdk.core import Config

        try:
            return Config(product="airflow-provider-databricks-air", **self.fields)
        except ValueError as error:
            raise AuthError(f"the Databricks SDK cannot authenticate: {error}") from None

    @property
    def host(self) -> str:
        """The workspace URL."""
        return str(self.config.host).rstrip("/")

    @property
    def home(self) -> str:
        """The ``databricks_internal_user_workspace_dir`` of the selected profile, as for ``databricks air``."""
        # The SDK keeps every key of a profile as an attribute, known to it or not.
        return str(getattr(self.config, "databricks_internal_user_workspace_dir", None) or "")

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request; refreshes an expired token.

        :raises AuthError: when the token cannot be refreshed.
        """
        try:
            headers = dict(self.config.authenticate())
        except (ValueError, OSError) as error:
            raise AuthError(f"the Databricks SDK cannot authenticate: {error}") from None
        # Older SDKs know no such field.
        workspace_id = self.workspace_id or getattr(self.config, "workspace_id", None)
        if workspace_id:
            headers["X-Databricks-Workspace-Id"] = str(workspace_id)
        return headers
