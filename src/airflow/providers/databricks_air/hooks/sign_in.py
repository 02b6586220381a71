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
"""What an Airflow connection says about who asks: its fields in, credentials out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.credentials import (
    Credentials,
    TokenCredentials,
    normalise_host,
)
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials, shared
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.foreign import translated

__all__ = ["KUBERNETES_TOKEN", "METHODS", "Method", "credentials_from"]

KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path


@dataclass(frozen=True)
class Method:
    """One way to sign in: ``auth_type`` of the connection.

    :param what: the way in words.
    :param login: the SDK's field that the login stands for; empty for none.
    :param password: the SDK's field that the password stands for; empty for none.
    :param needs: fields that must be there.
    :param may: fields that may be there.
    :param auth_type: the SDK's name of the way; empty for the same one.
    """

    what: str
    login: str = ""
    password: str = ""
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    auth_type: str = ""


_AZURE = ("azure_workspace_resource_id", "azure_environment")
METHODS: Mapping[str, Method] = {
    "pat": Method("personal access token", "", "token", needs=("token",)),
    "oauth-m2m": Method(
        "service principal (OAuth)",
        "client_id",
        "client_secret",
        needs=("client_id", "client_secret"),
        may=("scopes", "account_id"),
    ),
    "azure-client-secret": Method(
        "Azure service principal",
        "azure_client_id",
        "azure_client_secret",
        needs=("azure_client_id", "azure_client_secret", "azure_tenant_id"),
        may=_AZURE,
    ),
    "azure-msi": Method("Azure managed identity", "azure_client_id", may=("azure_client_id", *_AZURE)),
    "azure-cli": Method("Azure CLI", may=("azure_tenant_id", *_AZURE)),
    "google-credentials": Method(
        "Google service account key", "", "google_credentials", needs=("google_credentials",)
    ),
    "google-id": Method("Google identity", needs=("google_service_account",)),
    "env-oidc": Method(
        "OIDC token in an environment variable",
        "client_id",
        may=("client_id", "oidc_token_env", "token_audience", "account_id"),
    ),
    "file-oidc": Method(
        "OIDC token in a file",
        "client_id",
        needs=("oidc_token_filepath",),
        may=("client_id", "token_audience", "account_id"),
    ),
    "kubernetes": Method(
        "Kubernetes service account",
        "client_id",
        needs=("client_id",),
        may=("oidc_token_filepath", "token_audience", "account_id"),
        auth_type="file-oidc",
    ),
    "github-oidc": Method(
        "GitHub Actions", "client_id", needs=("client_id",), may=("token_audience", "account_id")
    ),
    "github-oidc-azure": Method(
        "GitHub Actions on Azure",
        "azure_client_id",
        needs=("azure_client_id",),
        may=("azure_tenant_id", "token_audience", *_AZURE),
    ),
    "azure-devops-oidc": Method(
        "Azure DevOps", "client_id", needs=("client_id",), may=("token_audience", "account_id")
    ),
    "metadata-service": Method("metadata service", needs=("metadata_service_url",)),
    "databricks-cli": Method("Databricks CLI", may=("databricks_cli_path", "account_id")),
    "profile": Method("profile of .databrickscfg", needs=("profile",), may=("config_file",)),
    "default": Method("what the Databricks SDK finds"),
}
# Without auth_type, the first field that is there says it.
_TELLING = {
    "profile": "profile",
    "azure_tenant_id": "azure-client-secret",
    "google_credentials": "google-credentials",
    "google_service_account": "google-id",
    "oidc_token_filepath": "file-oidc",
    "oidc_token_env": "env-oidc",
    "metadata_service_url": "metadata-service",
    "client_secret": "oauth-m2m",
    "token": "pat",
}
_OURS = ("host", "auth_type", "workspace_id", "allow_insecure_http")
_REFUSED = {
    "skip_verify": "certificates are always verified; name the file with your authority in REQUESTS_CA_BUNDLE",
    "http_timeout_seconds": "each request has a limit of its own",
    "retry_timeout_seconds": "each request has a limit of its own",
    "username": "Databricks has ended sign-in with name and password",
    "cloud": "the host says it",
}
_KNOWN = {*_OURS, *(name for method in METHODS.values() for name in (*method.needs, *method.may))}


def credentials_from(connection: Any, extra: Mapping[str, Any], agent: str = "") -> Credentials:
    """Return the credentials that a connection holds; the same object for the same ones.

    :param connection: type, host, login, password, port and schema are read from it.
    :param extra: its extra fields.
    :param agent: what the User-Agent says beside the package.
    :raises AirConfigError: naming the connection and its fields, when they are incomplete or contradict each other.
    """
    name = f"Connection {connection.conn_id!r}"
    try:
        return _credentials(connection, extra, agent)
    except ValueError as error:
        raise AirConfigError(f"{name}: {error}") from None


def _credentials(connection: Any, extra: Mapping[str, Any], agent: str) -> Credentials:
    fields = {key: value for key, value in extra.items() if value not in (None, "")}
    login, password = connection.login or "", connection.password or ""
    if connection.conn_type == "databricks":
        fields, login = translated(fields, login, password)
    _refuse_unknown(fields)
    kind = str(fields.pop("auth_type", "")) or _kind(fields, login, password)
    if kind not in METHODS:
        raise ValueError(f"auth_type: {kind!r} is none of {', '.join(METHODS)}")
    host = _host(connection, str(fields.pop("host", "")), is_true(fields.pop("allow_insecure_http", False)))
    if not host and kind not in {"profile", "default"}:
        raise ValueError("host is empty. Set it to the workspace URL (https://….databricks.com)")
    workspace_id = str(fields.pop("workspace_id", ""))
    fields = _complete(kind, METHODS[kind], fields, {"login": login, "password": password})
    origin = f"connection {connection.conn_id!r}"
    if kind == "pat":
        return TokenCredentials(host, str(fields["token"]), workspace_id, origin, agent)
    if kind == "kubernetes":
        fields.setdefault("oidc_token_filepath", KUBERNETES_TOKEN)
    if kind not in {"profile", "default"}:
        fields["auth_type"] = METHODS[kind].auth_type or kind
    if host:
        fields["host"] = host
    return shared(SdkCredentials(fields, workspace_id, origin, agent))


def is_true(value: object) -> bool:
    """Return whether a field of a connection says yes; a URI can only hold text."""
    return str(value).strip().lower() in {"true", "1", "yes", "on"}


def _refuse_unknown(fields: Mapping[str, Any]) -> None:
    for field in fields:
        if field in _REFUSED:
            raise ValueError(f"extra field {field!r} is not supported: {_REFUSED[field]}. Remove it")
    if unknown := sorted(set(fields) - _KNOWN):
        raise ValueError(
            f"extra has {', '.join(map(repr, unknown))}, which nobody reads. "
            f"Fields that are read: {', '.join(sorted(_KNOWN))}"
        )


def _kind(fields: Mapping[str, Any], login: str, password: str) -> str:
    """Return the way to sign in that the fields of a connection without ``auth_type`` mean."""
    for field, kind in _TELLING.items():
        if field in fields:
            return kind
    if login and password:
        return "oauth-m2m"
    if password:
        return "pat"
    if login:
        raise ValueError(
            "password is empty. Set it to the OAuth secret of the service principal, or set auth_type"
        )
    raise ValueError(
        "password is empty. Set it to a personal access token, or set auth_type to another way to sign in"
    )


def _complete(kind: str, method: Method, fields: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the SDK's fields: login and password under their names there."""
    for place, name in (("login", method.login), ("password", method.password)):
        value = given[place]
        if not value:
            continue
        if not name:
            raise ValueError(f"{place} does not belong to auth_type {kind!r} ({method.what}). Leave it empty")
        if fields.get(name, value) != value:
            raise ValueError(f"{place} and extra field {name!r} contradict each other. Leave one empty")
        fields[name] = value
    if alien := sorted(set(fields) - {*method.needs, *method.may}):
        what = f"do not belong to auth_type {kind!r} ({method.what})"
        raise ValueError(
            f"extra fields {', '.join(map(repr, alien))} {what}. Remove them, or change auth_type"
        )
    if missing := [name for name in method.needs if name not in fields]:
        places = {method.login: "login", method.password: "password"}
        names = ", ".join(places.get(name, f"extra field {name!r}") for name in missing)
        raise ValueError(f"auth_type {kind!r} ({method.what}) needs {names}, which is empty")
    return fields


def _host(connection: Any, fallback: str, insecure: bool) -> str:
    host = connection.host or fallback
    if host and connection.port and not host.rpartition(":")[2].isdigit():
        host = f"{host}:{connection.port}"
    scheme = connection.schema
    if host and scheme in {"http", "https"} and "://" not in host:
        host = f"{scheme}://{host}"
    try:
        return normalise_host(host, insecure=insecure) if host else ""
    except ValueError as error:
        raise ValueError(f"host: {error}") from None
