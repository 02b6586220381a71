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
"""Connections of the type ``databricks``, made for the provider of the whole of Databricks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["translated"]

# What that provider's fields are called here.
_NAMES = {
    "host": "host",
    "token": "token",
    "client_id": "client_id",
    "azure_tenant_id": "azure_tenant_id",
    "azure_resource_id": "azure_workspace_resource_id",
    "k8s_projected_volume_token_path": "oidc_token_filepath",
    "audience": "token_audience",
    "workspace_id": "workspace_id",
}
_CLOUDS = {"microsoftonline.us": "USGOVERNMENT", ".cn": "CHINA"}


def translated(extra: Mapping[str, Any], login: str, password: str) -> tuple[dict[str, Any], str]:
    """Return the fields and the login as a ``databricks_air`` connection would have them.

    Fields that are about something else (SQL, HTTP headers) are left out.

    :param extra: of the connection.
    :param login: of the connection.
    :param password: of the connection.
    :raises ValueError: when it signs in in a way that there is none for here.
    """
    fields = {ours: extra[theirs] for theirs, ours in _NAMES.items() if theirs in extra}
    says = {name for name, value in extra.items() if str(value).strip().lower() in {"true", "1"}}
    if "token" in fields:
        fields = {name: value for name, value in fields.items() if name in {"token", "host", "workspace_id"}}
        return fields, ""
    if "use_default_azure_credential" in says:
        raise ValueError(
            "use_default_azure_credential is not supported. Make a connection of the type databricks_air with "
            "auth_type azure-msi, azure-cli or azure-client-secret"
        )
    if "federated_k8s" in says or login == "federated_k8s":
        return _only(fields, "kubernetes", "client_id", "oidc_token_filepath", "token_audience"), ""
    if "use_azure_managed_identity" in says:
        return _only(fields, "azure-msi", "azure_workspace_resource_id"), ""
    if "azure_tenant_id" in fields:
        cloud = _cloud(str(extra.get("azure_ad_endpoint") or ""))
        names = ("azure_tenant_id", "azure_workspace_resource_id")
        return _only(fields, "azure-client-secret", *names) | cloud, login
    if "service_principal_oauth" in says:
        return _only(fields, "oauth-m2m"), login
    if login and login != "token":
        raise ValueError(
            "login and password alone mean a user's password, which Databricks has ended. Set "
            "service_principal_oauth in extra, or leave the login empty for a personal access token"
        )
    return _only(fields, "pat"), ""


def _only(fields: Mapping[str, Any], auth_type: str, *names: str) -> dict[str, Any]:
    kept = {name: fields[name] for name in ("host", "workspace_id", *names) if name in fields}
    return {**kept, "auth_type": auth_type}


def _cloud(endpoint: str) -> dict[str, str]:
    name = next((name for part, name in _CLOUDS.items() if part in endpoint), "")
    return {"azure_environment": name} if name else {}
