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
    "azure_managed_identity_client_id": "azure_client_id",
    "azure_resource_id": "azure_workspace_resource_id",
    "k8s_projected_volume_token_path": "oidc_token_filepath",
    "audience": "token_audience",
    "workspace_id": "workspace_id",
}
_CLOUDS = {"microsoftonline.us": "USGOVERNMENT", ".cn": "CHINA"}
# Ways of that provider that there are none for here, and what to do instead.
_ELSEWHERE = {
    "use_default_azure_credential": "azure-msi, azure-cli or azure-client-secret",
    "federated_token_provider": "env-oidc or file-oidc, where your code leaves its token",
    "federated_aws": "env-oidc or file-oidc, where a process of yours leaves AWS's token",
}


def translated(extra: Mapping[str, Any], login: str, password: str) -> tuple[dict[str, Any], str]:
    """Return the fields and the login as a ``databricks_air`` connection would have them.

    Fields that are about something else (SQL, HTTP headers) are left out; where two ways are named, the one that
    provider takes is taken.

    :param extra: of the connection.
    :param login: of the connection.
    :param password: of the connection.
    :raises ValueError: when it signs in in a way that there is none for here.
    """
    if extra.get("proxies"):
        raise ValueError(
            "extra field 'proxies' is not supported. Remove it, and set HTTPS_PROXY for workers and triggerers"
        )
    fields = {ours: extra[theirs] for theirs, ours in _NAMES.items() if theirs in extra}
    if "token" in fields:
        return _only(fields, "pat", "token"), ""
    if password and (not login or login == "token"):
        return _only(fields, "pat"), ""
    says = {name for name, value in extra.items() if _is_said(value)} | {login}
    if "use_azure_managed_identity" in says:
        return _only(fields, "azure-msi", "azure_client_id", "azure_workspace_resource_id"), ""
    if "azure_tenant_id" in fields:
        cloud = _cloud(str(extra.get("azure_ad_endpoint") or ""))
        names = ("azure_tenant_id", "azure_workspace_resource_id")
        return _only(fields, "azure-client-secret", *names) | cloud, login
    return _without_azure(fields, says, login)


def _without_azure(fields: dict[str, Any], says: set[str], login: str) -> tuple[dict[str, Any], str]:
    if name := next((name for name in _ELSEWHERE if name in says), ""):
        raise ValueError(
            f"{name} is not supported. Make a connection of the type databricks_air with auth_type {_ELSEWHERE[name]}"
        )
    if "service_principal_oauth" in says:
        return _only(fields, "oauth-m2m"), login
    if "federated_k8s" in says:
        return _only(fields, "kubernetes", "client_id", "oidc_token_filepath", "token_audience"), ""
    if login:
        raise ValueError(
            "login and password alone mean a user's password, which Databricks has ended. Set "
            "service_principal_oauth in extra, or leave the login empty for a personal access token"
        )
    return _only(fields, "pat"), ""


def _is_said(value: object) -> bool:
    """Return whether a switch is on; the one that names a function is on by its name."""
    return str(value).strip().lower() not in {"", "false", "0", "none", "no", "off"}


def _only(fields: Mapping[str, Any], auth_type: str, *names: str) -> dict[str, Any]:
    kept = {name: fields[name] for name in ("host", "workspace_id", *names) if name in fields}
    return {**kept, "auth_type": auth_type}


def _cloud(endpoint: str) -> dict[str, str]:
    name = next((name for part, name in _CLOUDS.items() if part in endpoint), "")
    return {"azure_environment": name} if name else {}
