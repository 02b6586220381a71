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
"""Azure managed identities, which the Databricks SDK for Python has no way for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from databricks.sdk.credentials_provider import CredentialsStrategy
from databricks.sdk.oauth import Refreshable, Token

if TYPE_CHECKING:
    from databricks.sdk.core import Config

__all__ = ["ManagedIdentity"]

# The application that Azure Databricks is in every tenant of Entra ID.
# The same variable as in Azure's own libraries, for clusters that put something in between.
_VARIABLE = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
_ENDPOINT = "http://169.254.169.254"
_SECONDS = 10.0
_FOR_GOOD = (400, 401, 403)
"""What the service answers while it starts, or has too much to do, is another status (404, 410, 429, 5xx)."""


class ManagedIdentity(CredentialsStrategy):
    """Signs in as the machine, by the metadata service that every Azure machine has."""

    def auth_type(self) -> str:
        """Return the name that other Databricks tools give to it."""
        return "azure-msi"

    def __call__(self, cfg: Config) -> Callable[[], dict[str, str]]:
        """Return what gives the headers of the next request.

        :param cfg: ``azure_client_id`` names one of several identities; ``azure_workspace_resource_id`` lets an
            identity in that is not a user of the workspace yet.
        """
        own = _MachineToken(cfg.effective_azure_login_app_id, cfg.azure_client_id)
        management = _MachineToken(cfg.arm_environment.service_management_endpoint, cfg.azure_client_id)
        workspace = cfg.azure_workspace_resource_id

        def headers() -> dict[str, str]:
            found = {"Authorization": f"Bearer {own.token().access_token}"}
            if workspace:
                found["X-Databricks-Azure-SP-Management-Token"] = management.token().access_token
                found["X-Databricks-Azure-Workspace-Resource-Id"] = workspace
            return found

        return headers


class _MachineToken(Refreshable):
    def __init__(self, resource: str, client_id: str | None) -> None:
        super().__init__()
        self._query = {"api-version": "2018-02-01", "resource": resource}
        if client_id:
            self._query["client_id"] = client_id

    def refresh(self) -> Token:
        host = os.environ.get(_VARIABLE, _ENDPOINT).rstrip("/")
        address = f"{host}/metadata/identity/oauth2/token?{urlencode(self._query)}"
        request = Request(address, headers={"Metadata": "true"})  # noqa: S310 - the scheme is http
        try:
            # No proxy knows the way to the machine's own service.
            with build_opener(ProxyHandler({})).open(request, timeout=_SECONDS) as answer:
                said = json.load(answer)
        except HTTPError as error:
            if error.code not in _FOR_GOOD:
                raise
            raise ValueError(f"{error}: {error.read(500).decode('utf-8', 'replace')}") from None
        expiry = datetime.now() + timedelta(seconds=int(said["expires_in"]))  # noqa: DTZ005 - as in the SDK
        return Token(access_token=said["access_token"], token_type="Bearer", expiry=expiry)  # noqa: S106
