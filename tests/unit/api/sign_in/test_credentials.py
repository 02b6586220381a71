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
"""Signing in against an identity server whose tokens are short, and which misbehaves."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.errors import AuthError, ServiceError, UnknownHostError
from airflow.providers.databricks_air.api.http.retry import RetryRule
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from databricks_air_local import LocalAirRuntime

# On a busy machine that alone takes longer than a question may.
pytest.importorskip("databricks.sdk.core")

TOKEN = "/oidc/v1/token"
ME = "/api/2.0/preview/scim/v2/Me"
RULE = RetryRule(first=0.2)


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """A workspace whose tokens are good for two seconds."""
    with LocalAirRuntime(tmp_path / "air", token_seconds=2) as runtime:
        yield runtime


def principal(air: LocalAirRuntime, **changes: str) -> SdkCredentials:
    """Return a service principal."""
    fields = {"auth_type": "oauth-m2m", "host": air.url, "client_id": "app", "client_secret": air.token}
    return SdkCredentials(fields | changes, origin="connection 'training'")


@pytest.fixture(params=["worker", "triggerer"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both modes in turn."""
    return str(request.param)


def ask(
    mode: str,
    credentials: Any,
    times: int = 1,
    pause: float = 0.0,
    budget: float = 20.0,
    rule: RetryRule = RULE,
) -> list[str]:
    """Ask who we are, so many times."""
    call = calls.me().within(budget)
    if mode == "worker":
        client = SyncClient(credentials, rule=rule)
        names = []
        for _ in range(times):
            names.append(client.perform(call).user_name)
            time.sleep(pause)
        client.close()
        return names

    async def main() -> list[str]:
        client = AsyncClient(credentials, rule=rule)
        names = []
        for _ in range(times):
            names.append((await client.perform(call)).user_name)
            await asyncio.sleep(pause)
        await client.close()
        return names

    return asyncio.run(main())


def test_tokens_are_renewed_before_they_expire(air: LocalAirRuntime, mode: str) -> None:
    """Six questions over five seconds, with tokens of two: every one is answered."""
    assert ask(mode, principal(air), times=6, pause=0.8) == ["you@example.com"] * 6
    assert 3 <= len(air.requests(path=TOKEN)) <= len(air.requests(path=ME)) + 1


def test_a_token_is_used_while_it_is_good(tmp_path: Path, mode: str) -> None:
    """A token of an hour is fetched once for many questions."""
    with LocalAirRuntime(tmp_path / "air") as air:
        ask(mode, principal(air), times=10)
        assert len(air.requests(path=TOKEN)) == 1


def test_a_token_that_ends_before_its_time(tmp_path: Path, mode: str) -> None:
    """The workspace refuses a token that should be good for an hour: a new one is fetched, and nobody sees it."""
    with LocalAirRuntime(tmp_path / "air") as air:
        credentials = principal(air)
        ask(mode, credentials)
        air.expire_tokens()
        air.renew_token()
        assert ask(mode, credentials) == ["you@example.com"]
        assert len(air.requests(path=TOKEN)) == 2
        # Once: what is refused again has another reason.
        air.add_fault(ME, times=-1, status=401, error_code="UNAUTHENTICATED")
        with pytest.raises(AuthError):
            ask(mode, credentials)
        assert len(air.requests(path=TOKEN)) == 2


def test_a_good_token_needs_nobody(tmp_path: Path, mode: str) -> None:
    """While a token is good, whoever gives them out may be away, and hang."""
    with LocalAirRuntime(tmp_path / "air", token_seconds=100) as air:
        credentials = principal(air)
        ask(mode, credentials)
        air.add_fault(TOKEN, times=-1, then="hang")
        assert ask(mode, credentials, times=3, budget=1.0) == ["you@example.com"] * 3


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 503, "body": "<html>busy</html>", "headers": {"Content-Type": "text/html"}},
        {"then": "reset"},
        {"then": "garbage"},
        {"then": "cut"},
    ],
    ids=["503", "503-html", "reset", "garbage", "cut"],
)
@pytest.mark.parametrize("path", [TOKEN, "/oidc/.well-known/oauth-authorization-server"])
def test_trouble_of_the_identity_server_passes(
    air: LocalAirRuntime, mode: str, fault: dict[str, Any], path: str
) -> None:
    """Whatever goes wrong there is trouble on the way: asked again, and never an outcome."""
    air.add_fault(path, times=2, **fault)
    assert ask(mode, principal(air), budget=40) == ["you@example.com"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"then": "reset"}, {"then": "garbage"}], ids=str)
def test_trouble_that_stays_is_said_as_trouble(
    air: LocalAirRuntime, mode: str, fault: dict[str, Any]
) -> None:
    """When the time is over, the error says that there is no token; nobody is called refused."""
    air.add_fault(TOKEN, times=-1, **fault)
    with pytest.raises(ServiceError, match="no token (of|for) connection 'training'"):
        ask(mode, principal(air), budget=2)


def test_a_refusal_is_an_outcome(air: LocalAirRuntime, mode: str) -> None:
    """A wrong secret is told at once, with its remedy and without the secret."""
    air.add_fault(
        TOKEN,
        times=-1,
        status=401,
        headers={"Content-Type": "application/json"},
        body=json.dumps({"error": "invalid_client", "error_description": "Client authentication failed"}),
    )
    with pytest.raises(AuthError, match="invalid_client: Client authentication failed") as caught:
        ask(mode, principal(air, client_secret="a-wrong-secret"))
    assert "connection 'training'" in str(caught.value)
    assert "Check the client id and the secret" in str(caught.value)
    assert "a-wrong-secret" not in repr(caught.value)


@pytest.mark.parametrize("patience", [1.0, pytest.param(RULE.patience_for_names, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", ["token", "sdk"])
def test_an_unknown_host_is_said_in_time(mode: str, way: str, patience: float) -> None:
    """A name that nobody knows is given up after 15 s, and the error says which field of which connection to check."""
    assert RULE.patience_for_names <= 15
    from airflow.providers.databricks_air.api.http.credentials import TokenCredentials

    host, origin = "https://no-such-workspace.invalid", "connection 'training'"
    fields = {"auth_type": "oauth-m2m", "host": host, "client_id": "a", "client_secret": "b"}
    credentials = (
        TokenCredentials(host, "t", origin=origin)
        if way == "token"
        else SdkCredentials(fields, origin=origin)
    )
    started = time.monotonic()
    with pytest.raises(UnknownHostError) as caught:
        ask(mode, credentials, budget=300, rule=RetryRule(first=0.2, patience_for_names=patience))
    # What comes on top is a busy machine; without the patience it would be five minutes.
    assert time.monotonic() - started < patience + 30
    assert f"nobody knows {host}. Check the host (workspace URL) of connection 'training'" in str(
        caught.value
    )


def test_nothing_of_the_environment_changes_who_we_are(
    air: LocalAirRuntime, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of the SDK, a profile and a netrc entry for the host stay unread."""
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "ARM_CLIENT_ID", "DATABRICKS_ACCOUNT_ID"):
        monkeypatch.setenv(name, "somebody-else")
    monkeypatch.setenv("DATABRICKS_HOST", "https://elsewhere.invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".databrickscfg").write_text("[DEFAULT]\nhost = https://elsewhere.invalid\ntoken = other\n")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert ask(mode, principal(air)) == ["you@example.com"]


@pytest.mark.parametrize("way", ["env-oidc", "file-oidc"])
def test_federation_says_what_is_missing(air: LocalAirRuntime, mode: str, way: str) -> None:
    """A token that is not there is the administrator's business, and is named."""
    fields = {"auth_type": way, "host": air.url, "client_id": "app"}
    if way == "file-oidc":
        fields["oidc_token_filepath"] = "/nowhere/token"
    with pytest.raises(AuthError, match="connection 'training'"):
        ask(mode, SdkCredentials(fields, origin="connection 'training'"))


class Machine(BaseHTTPRequestHandler):
    """The metadata service of an Azure machine."""

    def do_GET(self) -> None:
        """Give a token of two seconds to who asks as the machine itself."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = json.dumps({"access_token": self.server.token, "expires_in": "2"}).encode()  # type: ignore[attr-defined]
        self.send_response(200 if self.headers["Metadata"] == "true" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_managed_identity(air: LocalAirRuntime, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service of the machine gives the token; no proxy is asked for it."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Machine)
    server.asked, server.token = [], air.token
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", air.url.partition("://")[2])
    fields = {"auth_type": "azure-msi", "host": air.url, "azure_client_id": "id"}
    try:
        assert ask(mode, SdkCredentials(fields), times=2) == ["you@example.com"] * 2
    finally:
        server.shutdown()
        server.server_close()
    assert "resource=2ff814a6-3304-4ab8-85cb-cd0e6f879c1d" in server.asked[0]
    assert "client_id=id" in server.asked[0]
