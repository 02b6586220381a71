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
"""Which workspace a command asks, and as whom."""

from __future__ import annotations

import argparse
import configparser
import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.cli.envelope import CommandError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials

__all__ = ["add_sign_in_options", "credentials", "within_airflow", "workspace"]

_DEFAULT_CONNECTION = "databricks_air_default"
# A person waits, and hears of trouble after seconds rather than minutes.
_PATIENCE = 20.0
# What a host and a token need nothing else than; any other setting is the Databricks SDK's business.
_PLAIN = {"DATABRICKS_HOST", "DATABRICKS_TOKEN"}
_HARMLESS = {"DATABRICKS_CONFIG_FILE", "DATABRICKS_INTERNAL_USER_WORKSPACE_DIR"}


def add_sign_in_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--connection`` and ``--profile``."""
    parser.add_argument(
        "--connection",
        "--conn-id",
        dest="connection",
        metavar="ID",
        help=f"the Airflow connection to the workspace (within Airflow: {_DEFAULT_CONNECTION})",
    )
    parser.add_argument(
        "-p",
        "--profile",
        metavar="NAME",
        help="a profile of ~/.databrickscfg instead; without Airflow the default is the SDK's environment",
    )


def workspace(args: argparse.Namespace, patience: float = _PATIENCE) -> SyncClient:
    """Return a client of the workspace that the arguments name.

    :param args: the command's arguments.
    :param patience: seconds in which a request may be repeated.
    :raises CommandError: when there is no such connection.
    :raises AuthError: when there is no way to sign in.
    """
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.http.retry import RetryRule

    return SyncClient(credentials(args), rule=RetryRule(patience=patience))


def credentials(args: argparse.Namespace) -> Credentials:
    """Return the workspace that the arguments name, and who asks it.

    :raises CommandError: when there is no such connection.
    """
    if args.connection and args.profile:
        raise CommandError("--connection and --profile are two ways to sign in: keep one", exit_code=2)
    connection = args.connection or ("" if args.profile or not within_airflow() else _DEFAULT_CONNECTION)
    if connection:
        return _of_connection(connection)
    return _of_token(args.profile) or _of_sdk(args.profile)


def within_airflow() -> bool:
    """Return whether Airflow is imported, rather than its namespace alone."""
    return getattr(import_module("airflow"), "__file__", None) is not None


def _of_connection(name: str) -> Credentials:
    # Not as tasks do: on Airflow 3 they ask an API server, and a command would miss what is in the database.
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow.providers.databricks_air.exceptions import AirConfigError
    from airflow.providers.databricks_air.hooks.sign_in import credentials_from

    try:
        # Airflow 2 logs to the standard output, where nothing but the result belongs.
        with contextlib.redirect_stdout(sys.stderr):
            connection = Connection.get_connection_from_secrets(name)
            return credentials_from(connection, connection.extra_dejson)
    except AirflowNotFoundException:
        variable = f"AIRFLOW_CONN_{name.upper()}"
        raise CommandError(
            f"Airflow has no connection {name!r}. Make it, or set {variable}", "NOT_FOUND"
        ) from None
    except AirConfigError as error:
        raise CommandError(str(error)) from None


def _of_token(profile: str | None) -> Credentials | None:
    """Return a host and a token where nothing else is set; importing the SDK would cost a second."""
    from airflow.providers.databricks_air.api.http.credentials import TokenCredentials, normalise_host

    found = {name for name, value in os.environ.items() if name.startswith("DATABRICKS_") and value}
    names = found - _HARMLESS
    if profile or not names:
        host, token = ("", "") if names else _plain_profile(profile or "DEFAULT")
    elif names == _PLAIN:
        host, token = os.environ["DATABRICKS_HOST"], os.environ["DATABRICKS_TOKEN"]
    else:
        return None
    try:
        return TokenCredentials(normalise_host(host), token) if host and token else None
    except ValueError:
        return None


def _plain_profile(name: str) -> tuple[str, str]:
    path = Path(os.environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        parser.read(path, "utf-8")
        fields = dict(parser[name])
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
        return "", ""
    return (fields["host"], fields["token"]) if fields.keys() == {"host", "token"} else ("", "")


def _of_sdk(profile: str | None) -> Credentials:
    from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials

    origin = f"profile {profile!r}" if profile else "the environment"
    found = SdkCredentials({"profile": profile} if profile else {}, origin=origin)
    # Says what is missing before anything is done.
    if not found.host:
        raise CommandError("no workspace is named: set DATABRICKS_HOST, or name a profile", "UNAUTHENTICATED")
    return found
