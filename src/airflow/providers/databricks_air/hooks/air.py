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
"""The hook: from an Airflow connection to a client of the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow.providers.databricks_air.api.http.calls import cancel_run, get_run, me
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import (
    Credentials,
    SdkCredentials,
    TokenCredentials,
    normalise_host,
)
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.version_compat import async_connection

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["AirRuntimeHook", "credentials_from"]


class AirRuntimeHook(BaseHook):
    """Talks to Databricks AI Runtime with the credentials of an Airflow connection.

    :param databricks_air_conn_id: id of a connection of the type ``databricks_air``.
    """

    conn_name_attr = "databricks_air_conn_id"
    default_conn_name = "databricks_air_default"
    conn_type = "databricks_air"
    hook_name = "Databricks AI Runtime"

    def __init__(self, databricks_air_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.databricks_air_conn_id = databricks_air_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return no fields beyond the standard ones."""
        return {}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow up to 3.1 shows the form; later versions read provider.yaml."""
        return {
            "hidden_fields": ["schema", "port"],
            "relabeling": {
                "host": "Workspace URL",
                "login": "Client id (service principal)",
                "password": "Token or client secret",
            },
            "placeholders": {
                "host": "https://adb-1234567890123456.7.azuredatabricks.net",
                "login": "empty for a personal access token",
                "extra": '{"auth_type": "…"} or any other field of the Databricks SDK\'s configuration',
            },
        }

    @cached_property
    def client(self) -> SyncClient:
        """A client for this thread and the threads it starts."""
        return SyncClient(self.get_credentials())

    @property
    def host(self) -> str:
        """The workspace URL, without a trailing slash."""
        return self.client.credentials.host

    def get_conn(self) -> SyncClient:
        """Return the client."""
        return self.client

    def get_credentials(self) -> Credentials:
        """Read the connection anew.

        :raises AirConfigError: when the connection cannot be used.
        """
        connection = self.get_connection(self.databricks_air_conn_id)
        return credentials_from(connection, connection.extra_dejson)

    async def aget_credentials(self) -> Credentials:
        """Read the connection anew, from an event loop.

        :raises AirConfigError: when the connection cannot be used.
        """
        connection, extra = await async_connection(self.databricks_air_conn_id)
        return credentials_from(connection, extra)

    def get_run(self, run_id: int) -> Run:
        """Return the state of a run and of its attempts.

        :param run_id: id of the run.
        :raises ApiError: when the workspace does not tell.
        """
        return self.client.perform(get_run(run_id))

    def describe(self, run_id: int) -> dict[str, Any]:
        """Return a run in full as plain JSON values: the ``data`` that the command ``get -o json`` prints.

        :param run_id: id of the run.
        :raises RunNotFoundError: when there is no such run.
        :raises ApiError: when the workspace does not tell.
        """
        from airflow.providers.databricks_air.api.runs.description import describe

        return self.client.run(describe(self.client.calls, run_id)).to_json()

    def cancel_run(self, run_id: int) -> None:
        """Ask for the end of a run; one that has ended already stays as it is.

        :param run_id: id of the run.
        :raises ApiError: when the workspace does not take the request.
        """
        self.client.perform(cancel_run(run_id))

    def test_connection(self) -> tuple[bool, str]:
        """Ask the workspace who we are."""
        try:
            who = self.client.perform(me().once(timeout=10.0))
        except (ApiError, AirConfigError) as error:
            return False, str(error)
        return True, f"Connected to {self.client.credentials.host} as {who.user_name}"


def credentials_from(connection: Any, extra: Mapping[str, Any]) -> Credentials:
    """Return the credentials that a connection holds.

    A host and a password alone are a personal access token; a login beside them is a service
    principal; anything else in ``extra`` is handed to the Databricks SDK.

    :param connection: host, login, password and port are read from it.
    :param extra: its extra fields.
    :raises AirConfigError: when the workspace URL is missing, or extra has a field that the SDK lacks.
    """
    name = f"Connection {connection.conn_id!r}"
    fields = {key: value for key, value in extra.items() if value not in (None, "")}
    host = _host(connection, str(fields.pop("host", "")))
    if not host and not fields:
        raise AirConfigError(f"{name}: host is empty. Set it to the workspace URL (https://….databricks.com)")
    try:
        host = normalise_host(host) if host else ""
    except ValueError as error:
        raise AirConfigError(f"{name}: host: {error}") from None
    workspace_id = str(fields.pop("workspace_id", ""))
    if host and connection.password and not connection.login and not fields:
        return TokenCredentials(host, connection.password, workspace_id)
    if connection.login and connection.password:
        fields |= {"client_id": connection.login, "client_secret": connection.password}
    elif connection.password:
        fields |= {"token": connection.password}
    elif not fields:
        raise AirConfigError(f"{name}: password is empty. Set it to a personal access token")
    return SdkCredentials(_sdk_fields(name, fields, host), workspace_id)


def _host(connection: Any, fallback: str) -> str:
    host = connection.host or fallback
    if host and connection.port and not host.rpartition(":")[2].isdigit():
        host = f"{host}:{connection.port}"
    scheme = connection.schema
    return f"{scheme}://{host}" if host and scheme in {"http", "https"} and "://" not in host else host


def _sdk_fields(name: str, fields: dict[str, Any], host: str) -> dict[str, Any]:
    from databricks.sdk.core import Config

    known = {attribute.name for attribute in Config.attributes()}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise AirConfigError(
            f"{name}: extra has {', '.join(map(repr, unknown))}, which the Databricks SDK does not know. "
            f"Fields that it knows: {', '.join(sorted(known))}"
        )
    if host:
        fields["host"] = host
    return fields
