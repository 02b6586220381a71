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
"""The Databricks SDK's ways to sign in, and what its errors mean."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from databricks.sdk.core import Config
from databricks.sdk.environments import ALL_ENVS, Cloud, get_environment_for_hostname
from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.errors.base import DatabricksError
from google.auth.exceptions import DefaultCredentialsError

from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, ServiceError
from airflow.providers.databricks_air.api.sign_in.managed_identity import ManagedIdentity

__all__ = ["authenticate", "open_config"]

# Seconds for one question of the SDK to a host, and in which it repeats it.
_PATIENCE = 20
# RFC 6749, 5.2: what a token endpoint says for good. Entra ID numbers its own.
_REFUSED = re.compile(
    r"\b(invalid_client|invalid_grant|invalid_request|invalid_scope|unauthorized_client|access_denied"
    r"|unsupported_grant_type|PERMISSION_DENIED|AADSTS\d+|az login|databricks auth login)\b"
)
_CLOUDS = {
    "azure-client-secret": Cloud.AZURE,
    "azure-msi": Cloud.AZURE,
    "azure-cli": Cloud.AZURE,
    "github-oidc-azure": Cloud.AZURE,
    "google-credentials": Cloud.GCP,
    "google-id": Cloud.GCP,
}
_SUPPLIERS = {
    "github-oidc": "ACTIONS_ID_TOKEN_REQUEST_URL",
    "github-oidc-azure": "ACTIONS_ID_TOKEN_REQUEST_URL",
    "azure-devops-oidc": "SYSTEM_ACCESSTOKEN",
}
"""The variables that say that there is somebody to ask for an OIDC token."""


class _Given(Config):
    """A configuration that is only what it is given: nothing of the environment changes who we are."""

    def _load_from_env(self) -> None:
        return None

    def _known_file_config_loader(self) -> None:
        if self.profile:
            super()._known_file_config_loader()  # type: ignore[no-untyped-call]


def open_config(fields: Mapping[str, Any], origin: str) -> Config:
    """Return the SDK's configuration; it may ask the host for its token endpoint.

    :param fields: its keyword arguments; without ``auth_type`` and ``profile`` the SDK looks around.
    :param origin: of the credentials, for messages.
    :raises AuthError: when they are refused, or incomplete.
    :raises ServiceError: when a host does not answer.
    """
    _refuse_unknown(fields, origin)
    kind = _Given if fields.get("auth_type") or fields.get("profile") else Config
    strategy = ManagedIdentity() if fields.get("auth_type") == "azure-msi" else None
    try:
        return kind(
            product="airflow-provider-databricks-air",
            credentials_strategy=strategy,
            http_timeout_seconds=_PATIENCE,
            retry_timeout_seconds=_PATIENCE,
            # Neither a profile nor a variable turns it off.
            skip_verify=False,
            **_cloud(fields),
            **fields,
        )
    except Exception as error:  # noqa: BLE001 - the SDK raises whatever its libraries raise
        is_wrong = isinstance(error, ValueError) and not _is_hidden(fields.get("auth_type", ""))
        for_good = is_wrong or isinstance(error, DefaultCredentialsError)
        raise _meaning(error, origin, for_good=for_good) from None


def _refuse_unknown(fields: Mapping[str, Any], origin: str) -> None:
    """Refuse what the installed SDK does not know: it would drop that in silence.

    :raises AuthError: naming the fields.
    """
    # The class finds its fields in itself, once: a subclass has none.
    known = {attribute.name for attribute in Config.attributes()}
    if unknown := ", ".join(sorted(set(fields) - known)):
        whose = f" of {origin}" if origin else ""
        raise AuthError(
            f"databricks-sdk {version('databricks-sdk')} does not know {unknown}{whose}. Install a newer one, or "
            "remove the field"
        )


def _is_hidden(auth_type: str) -> bool:
    """Return whether the SDK would call an outage a wrong configuration, although there is somebody to ask."""
    if auth_type == "azure-cli":
        return shutil.which("az") is not None
    return bool(os.environ.get(_SUPPLIERS.get(auth_type, "")))


def _cloud(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cloud of a workspace; the SDK knows it by the end of the host's name alone.

    A private link may have any name; ``azure_environment`` says which of Azure's clouds is behind it.
    """
    cloud = _CLOUDS.get(fields.get("auth_type", ""))
    name = str(fields.get("azure_environment") or "").upper().removeprefix("AZURE").removesuffix("CLOUD")
    known = get_environment_for_hostname(urlsplit(str(fields.get("host") or "")).hostname)
    if cloud is None or (known.cloud == cloud and not name):
        return {}
    # Those for everybody stand behind those for the makers of the SDK.
    found = {getattr(each.azure_environment, "name", ""): each for each in ALL_ENVS if each.cloud == cloud}
    return {"databricks_environment": found.get(name or ("PUBLIC" if cloud == Cloud.AZURE else ""), known)}


def authenticate(config: Config, origin: str) -> dict[str, str]:
    """Return headers for the next request, with a new token where the old one is about to expire.

    :param config: from :func:`open_config`.
    :param origin: of the credentials, for messages.
    :raises AuthError: when they are refused.
    :raises ServiceError: when who gives out tokens does not answer, or not in a way that can be read.
    """
    try:
        return dict(config.authenticate())
    except Exception as error:  # noqa: BLE001 - the SDK raises whatever its libraries raise
        raise _meaning(error, origin, for_good=False) from None


def _meaning(error: Exception, origin: str, *, for_good: bool) -> ApiError:
    """Return a refusal, or trouble on the way, whatever form the SDK gives to it.

    :param error: of the SDK.
    :param origin: of the credentials.
    :param for_good: what an error means that says nothing about itself.
    """
    said = re.split(r"\.? Config: ", str(error) or type(error).__name__)[0][:500]
    whose = f" of {origin}" if origin else ""
    if _REFUSED.search(said):
        remedy = (
            "Check the client id and the secret behind it, and that whoever signs in may use this workspace"
        )
        return AuthError(f"the sign-in{whose} is refused: {said}. {remedy}")
    if any(map(_is_trouble, _chain(error))):
        for_good = False
    if for_good or any(
        isinstance(each, (Unauthenticated, PermissionDenied, NotFound)) for each in _chain(error)
    ):
        return AuthError(f"the Databricks SDK cannot sign in with the fields{whose}: {said}")
    return ServiceError(f"no token{whose}: {said}")


def _is_trouble(error: BaseException) -> bool:
    if isinstance(error, DatabricksError):
        return not isinstance(error, (Unauthenticated, PermissionDenied, NotFound))
    return isinstance(error, (OSError, NotImplementedError, KeyError))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
