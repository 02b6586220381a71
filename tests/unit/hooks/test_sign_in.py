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
"""What the fields of a connection mean: one way to sign in, or an error that names them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.models.connection import Connection

from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.hooks.sign_in import KUBERNETES_TOKEN, METHODS, credentials_from
from airflow.providers.databricks_air.run.config.rules.visible_secrets import visible_secrets
from databricks_air_local import LocalAirRuntime

HOST = "https://adb-1.azuredatabricks.net"


def read(conn_type: str = "databricks_air", **fields: Any) -> Any:
    """Return the credentials of a connection with these fields."""
    extra = fields.pop("extra", {})
    connection = Connection(
        conn_id="training", conn_type=conn_type, **{"host": HOST, **fields}, extra=json.dumps(extra)
    )
    return credentials_from(connection, connection.extra_dejson)


SIGN_IN = [
    ({"password": "dapi1"}, None),
    ({"extra": {"token": "dapi1"}}, None),
    ({"password": "dapi1", "extra": {"auth_type": "pat"}}, None),
    (
        {"login": "app", "password": "s"},
        {"auth_type": "oauth-m2m", "client_id": "app", "client_secret": "s"},
    ),
    (
        {"login": "app", "password": "s", "extra": {"azure_tenant_id": "t"}},
        {
            "auth_type": "azure-client-secret",
            "azure_client_id": "app",
            "azure_client_secret": "s",
            "azure_tenant_id": "t",
        },
    ),
    ({"extra": {"auth_type": "azure-msi"}}, {"auth_type": "azure-msi"}),
    (
        {"login": "id", "extra": {"auth_type": "azure-msi"}},
        {"auth_type": "azure-msi", "azure_client_id": "id"},
    ),
    ({"extra": {"auth_type": "azure-cli"}}, {"auth_type": "azure-cli"}),
    (
        {"password": "{}", "extra": {"auth_type": "google-credentials"}},
        {"auth_type": "google-credentials", "google_credentials": "{}"},
    ),
    (
        {"extra": {"google_service_account": "a@b"}},
        {"auth_type": "google-id", "google_service_account": "a@b"},
    ),
    (
        {"login": "app", "extra": {"oidc_token_filepath": "/t"}},
        {"auth_type": "file-oidc", "client_id": "app", "oidc_token_filepath": "/t"},
    ),
    (
        {"login": "app", "extra": {"oidc_token_env": "T"}},
        {"auth_type": "env-oidc", "client_id": "app", "oidc_token_env": "T"},
    ),
    (
        {"login": "app", "extra": {"auth_type": "kubernetes"}},
        {"auth_type": "file-oidc", "client_id": "app", "oidc_token_filepath": KUBERNETES_TOKEN},
    ),
    (
        {"login": "app", "extra": {"auth_type": "github-oidc"}},
        {"auth_type": "github-oidc", "client_id": "app"},
    ),
    ({"extra": {"profile": "p"}, "host": None}, {"profile": "p", "host": None}),
    ({"extra": {"auth_type": "default"}, "host": None}, {"host": None}),
]


@pytest.mark.parametrize(("fields", "expected"), SIGN_IN, ids=[json.dumps(f) for f, _ in SIGN_IN])
def test_each_way_to_sign_in(fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    """Login, password and extra become the fields of the SDK; auth_type is always said."""
    credentials = read(**fields)
    if expected is None:
        assert (credentials.host, credentials.token) == (HOST, "dapi1")
        return
    host = {} if expected.pop("host", HOST) is None else {"host": HOST}
    assert dict(credentials.fields) == {**expected, **host}


FOREIGN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"password": "dapi1"}, {"password": "dapi1"}),
    ({"login": "token", "password": "dapi1"}, {"password": "dapi1"}),
    ({"extra": {"token": "dapi1", "http_path": "/sql"}}, {"password": "dapi1"}),
    ({"host": "", "password": "dapi1", "extra": {"host": HOST}}, {"password": "dapi1"}),
    ({"password": "dapi1", "extra": {"azure_tenant_id": "t"}}, {"password": "dapi1"}),
    (
        {"login": "app", "password": "s", "extra": {"service_principal_oauth": True}},
        {"login": "app", "password": "s"},
    ),
    (
        {"login": "app", "password": "s", "extra": {"azure_tenant_id": "t", "azure_resource_id": "/r"}},
        {
            "login": "app",
            "password": "s",
            "extra": {"azure_tenant_id": "t", "azure_workspace_resource_id": "/r"},
        },
    ),
    (
        {
            "login": "app",
            "password": "s",
            "extra": {"azure_tenant_id": "t", "azure_ad_endpoint": "https://login.microsoftonline.us"},
        },
        {
            "login": "app",
            "password": "s",
            "extra": {"azure_tenant_id": "t", "azure_environment": "USGOVERNMENT"},
        },
    ),
    ({"extra": {"use_azure_managed_identity": "true"}}, {"extra": {"auth_type": "azure-msi"}}),
    (
        {
            "extra": {
                "use_azure_managed_identity": True,
                "azure_managed_identity_client_id": "id",
                "azure_resource_id": "/r",
            }
        },
        {"login": "id", "extra": {"auth_type": "azure-msi", "azure_workspace_resource_id": "/r"}},
    ),
    (
        {"login": "federated_k8s", "extra": {"client_id": "app"}},
        {"login": "app", "extra": {"auth_type": "kubernetes"}},
    ),
    (
        {
            "extra": {
                "federated_k8s": True,
                "client_id": "app",
                "audience": "us",
                "k8s_projected_volume_token_path": "/t",
            }
        },
        {
            "login": "app",
            "extra": {"auth_type": "kubernetes", "oidc_token_filepath": "/t", "token_audience": "us"},
        },
    ),
]


@pytest.mark.parametrize(("theirs", "ours"), FOREIGN, ids=[json.dumps(f) for f, _ in FOREIGN])
def test_a_connection_of_the_databricks_provider(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """A connection of the type databricks means what it means there: the same as one of ours with our fields."""
    assert read("databricks", **theirs) == read(**ours)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"login": "me", "password": "x"}, "a user's password, which Databricks has ended"),
        ({"extra": {"use_default_azure_credential": True}}, "azure-msi, azure-cli or azure-client-secret"),
        ({"login": "federated_aws"}, "federated_aws is not supported"),
        ({"extra": {"federated_token_provider": "mine.token"}}, "env-oidc or file-oidc"),
        ({"password": "x", "extra": {"proxies": {"https": "http://p"}}}, "set HTTPS_PROXY"),
    ],
    ids=str,
)
def test_what_only_the_databricks_provider_does(fields: dict[str, Any], message: str) -> None:
    """It is refused by its name, with what to do instead."""
    with pytest.raises(AirConfigError) as caught:
        read("databricks", **fields)
    assert message in str(caught.value)


REFUSED = [
    ({}, "password is empty"),
    ({"login": "app"}, "password is empty"),
    ({"host": "", "password": "x"}, "host is empty"),
    ({"host": "http://example.com", "password": "x"}, "allow_insecure_http"),
    ({"host": "http://me:s3cret@example.com", "password": "x"}, "'http://example.com' would send"),
    ({"host": "https://me:s3cret@", "password": "x"}, "is not a workspace URL"),
    ({"password": "x", "extra": {"auth_type": "oath"}}, "'oath' is none of"),
    ({"password": "x", "extra": {"auth_type": "pat", "azure_tenant_id": "t"}}, "'azure_tenant_id'"),
    (
        {"login": "a", "password": "x", "extra": {"auth_type": "pat"}},
        "login does not belong to auth_type 'pat'",
    ),
    ({"password": "x", "extra": {"token": "y"}}, "password and extra field 'token' contradict"),
    ({"extra": {"azure_tenant_id": "t"}}, "needs login, password"),
    ({"password": "x", "extra": {"skip_verify": True}}, "'skip_verify' is not supported"),
    ({"password": "x", "extra": {"http_timeout_seconds": 3}}, "'http_timeout_seconds' is not supported"),
    ({"password": "x", "extra": {"tokn": "y"}}, "'tokn', which nobody reads"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[json.dumps(f) for f, _ in REFUSED])
def test_a_mistake_is_named(fields: dict[str, Any], message: str) -> None:
    """What is missing, unknown or contradicts itself is said with connection and field, and without the secret."""
    with pytest.raises(AirConfigError, match="Connection 'training'") as caught:
        read(**fields)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_http_is_for_this_machine() -> None:
    """Loopback needs no encryption; others get it when somebody says so, also as text."""
    assert read(host="http://127.0.0.1:80", password="x").host == "http://127.0.0.1:80"
    extra = {"allow_insecure_http": "true"}
    assert read(host="http://example.com", password="x", extra=extra).host == "http://example.com"


def test_a_uri_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a URI everything is text."""
    uri = "databricks-air://app:se%2Fcret@adb-1.example.com/?azure_tenant_id=7&workspace_id=42"
    monkeypatch.setenv("AIRFLOW_CONN_TRAINING", uri)
    credentials = AirRuntimeHook("training").get_credentials()
    assert isinstance(credentials, SdkCredentials)
    assert credentials.fields["azure_client_secret"] == "se/cret"
    assert str(credentials.fields["azure_tenant_id"]) == "7"
    assert credentials.workspace_id == "42"


def test_the_same_connection_is_one_sign_in() -> None:
    """Who reads the same connection again shares its token; a rotated secret is another one."""
    first, again = read(login="app", password="s"), read(login="app", password="s")
    assert first is again
    assert read(login="app", password="new") is not first


def test_no_secret_is_shown() -> None:
    """Neither representation holds a secret."""
    for credentials in (read(password="s3cret"), read(login="app", password="s3cret")):
        assert "s3cret" not in repr(credentials)


def test_the_form_offers_every_way() -> None:
    """The form of provider.yaml and the table of ways to sign in say the same."""
    from airflow.providers.databricks_air.get_provider_info import get_provider_info
    from airflow.providers.databricks_air.hooks.form import FORM_FIELDS, HIDDEN_FIELDS, LABELS, PLACEHOLDERS

    (connection,) = get_provider_info()["connection-types"]
    fields = connection["conn-fields"]
    assert fields["auth_type"]["schema"]["enum"] == list(METHODS)
    assert {name: field["label"] for name, field in fields.items()} == FORM_FIELDS
    behaviour = connection["ui-field-behaviour"]
    assert behaviour == {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": LABELS,
        "placeholders": PLACEHOLDERS,
    }


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """A workspace."""
    with LocalAirRuntime(tmp_path / "air") as runtime:
        yield runtime


def tested(monkeypatch: pytest.MonkeyPatch, **connection: Any) -> tuple[bool, str]:
    """Return what the Test button says of a connection."""
    monkeypatch.setenv("AIRFLOW_CONN_TRAINING", json.dumps({"conn_type": "databricks_air", **connection}))
    return AirRuntimeHook("training").test_connection()


def test_the_test_button_says_who_we_are(air: LocalAirRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good connection: workspace, user, and what of AI Runtime is seen there. A port of 0, as the page sends, is none."""
    good, said = tested(monkeypatch, host=air.url, password=air.token, port=0)
    assert good, said
    assert said.startswith(f"Connected to {air.url}")
    assert "as you@example.com" in said
    for what in ("AI Runtime, own runs: 0", "GPU pools:", "usage policies:"):
        assert what in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong-s3cret"}, "403"),
        ({"password": ""}, "password is empty"),
        ({"host": "https://no-such-workspace.invalid"}, "nobody knows https://no-such-workspace.invalid"),
        ({"host": "http://127.0.0.1:1"}, "no answer from http://127.0.0.1:1 (Connection refused)"),
    ],
)
def test_the_test_button_says_what_is_wrong(
    air: LocalAirRuntime, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    """Token, field, name or port: the cause is named, in less than ten seconds, without the secret."""
    started = time.monotonic()
    good, said = tested(monkeypatch, **{"host": air.url, "password": air.token, **changes})
    assert time.monotonic() - started < 10
    assert not good
    assert words in said
    assert "s3cret" not in said


def test_the_test_button_does_not_wait_for_ever(
    air: LocalAirRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace that does not answer is given up in less than ten seconds."""
    air.add_fault("*", then="hang", times=-1)
    started = time.monotonic()
    good, said = tested(monkeypatch, host=air.url, password=air.token)
    assert not good
    assert "none within 6 s" in said
    assert time.monotonic() - started < 10


def test_a_value_that_looks_like_a_credential_is_found() -> None:
    """Prefixes of services and telling names with long values; switches, paths and references are left alone."""
    variables = {
        "A": "dapi" + "0" * 32,
        "HF": "hf_" + "x" * 34,
        "WANDB_API_KEY": "0123456789abcdef0123456789abcdef",
        "TOKENIZER": "0123456789abcdef0123",
        "HF_TOKEN": "scope/key-that-is-long",
        "MAX_TOKEN": "4096",
        "PLAIN": "hello",
    }
    assert list(visible_secrets(variables)) == ["A", "HF", "WANDB_API_KEY"]
