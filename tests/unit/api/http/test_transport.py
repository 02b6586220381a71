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
"""What is between us and a server behaves alike on the worker and in the triggerer."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import ApiError, MovedError, RequestError, ServiceError

Ask = Callable[..., Any]
ORIGIN = "connection 'training'"


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says, and notes what it is asked with."""

    def do_GET(self) -> None:
        """Answer a request, also one that is for another host."""
        server: Any = self.server
        server.seen.append((self.path, dict(self.headers)))
        path = (
            self.path.partition("://")[2].partition("/")[2] if self.path.startswith("http") else self.path[1:]
        )
        if path.startswith("redirect/"):
            _, status, target = path.split("/", 2)
            self.send_response(int(status))
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path == "slow":
            time.sleep(1.5)
        if path == "reset":
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server of a test, with what it saw."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the tests."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"


@pytest.fixture
def servers() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server."""
    started: list[Server] = []

    def start(*args: Any) -> Server:
        started.append(Server(*args))
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody has signed; key and certificate in one file."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", file.with_suffix(".crt")],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.fixture(params=["worker", "triggerer"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return a function that asks a server once, on the worker and in the triggerer."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def perform(host: str, path: str = "/", **fields: Any) -> Any:
        credentials = TokenCredentials(host, "s3cret", origin=ORIGIN, agent="airflow/3")
        call = Call("GET", path, Answer.json, **{"timeout": 5.0, **fields}).once()
        if request.param == "worker":
            client = SyncClient(credentials)
            try:
                return client.perform(call)
            finally:
                client.close()

        async def main() -> Any:
            client = AsyncClient(credentials)
            try:
                return await client.perform(call)
            finally:
                await client.close()

        return asyncio.run(main())

    return perform


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_of_certificates(
    ask: Ask, servers: Any, certificate: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An own authority is believed when one of the usual variables names it, and only then."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    server = servers(certificate)
    with pytest.raises(RequestError, match="is not trusted.*REQUESTS_CA_BUNDLE"):
        ask(server.url)
    monkeypatch.setenv(variable, str(certificate.with_suffix(".crt")))
    assert ask(server.url) == {}


def test_a_bundle_that_is_not_there(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a wrong path is named."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(RequestError, match=r"REQUESTS_CA_BUNDLE=/nowhere\.pem cannot be read"):
        ask("https://127.0.0.1:1")


def test_a_proxy(ask: Ask, servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the variables is asked, with its own name and password; NO_PROXY leaves it out."""
    proxy, server = servers(), servers()
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://me:pass@"))
    assert ask(server.url) == {}
    ((path, headers),) = proxy.seen
    assert path == f"{server.url}/"
    assert headers["Proxy-Authorization"] == "Basic bWU6cGFzcw=="
    assert not server.seen
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ask(server.url) == {}
    assert len(proxy.seen) == len(server.seen) == 1


def test_a_proxy_that_is_away(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the proxy that is named, without its password."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:pass@127.0.0.1:1")
    with pytest.raises(ServiceError, match="no answer from the proxy http://127.0.0.1:1") as caught:
        ask("http://127.0.0.1:2")
    assert "pass" not in str(caught.value)


def test_a_proxy_that_is_none(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is refused by its name."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(RequestError, match="socks5 proxy; set HTTP_PROXY"):
        ask("http://127.0.0.1:2")


def test_netrc_is_not_read(ask: Ask, servers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry for the host changes nothing."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login any password one\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = servers()
    assert ask(server.url) == {}
    assert server.seen[0][1]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_detour_on_the_same_host(ask: Ask, servers: Any, status: int) -> None:
    """It is followed with the credentials."""
    server = servers()
    assert ask(server.url, f"/redirect/{status}//there") == {}
    assert [headers["Authorization"] for _, headers in server.seen] == ["Bearer s3cret"] * 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_another_host_gets_no_credentials(ask: Ask, servers: Any, status: int) -> None:
    """The error names the new address, and nobody is asked there."""
    server, other = servers(), servers()
    with pytest.raises(MovedError, match=f"leads to {other.url}.*workspace URL.*{ORIGIN}"):
        ask(server.url, f"/redirect/{status}/{other.url}/?secret=1")
    assert not other.seen


@pytest.mark.parametrize("status", [301, 308])
def test_a_permanent_redirect_is_an_error(ask: Ask, servers: Any, status: int) -> None:
    """Also on the same host: whoever wrote the address has to change it."""
    server = servers()
    with pytest.raises(MovedError, match=f"leads to {server.url}/new"):
        ask(server.url, f"/redirect/{status}//new")


def test_a_circle_ends(ask: Ask, servers: Any) -> None:
    """A redirect to itself is not followed for ever."""
    server = servers()
    with pytest.raises(ApiError):
        ask(server.url, "/redirect/302/" + "redirect/302/" * 7)
    assert len(server.seen) <= 6


def test_a_signed_address_gets_nothing_of_ours(ask: Ask, servers: Any) -> None:
    """Neither the token nor the connection goes to the artifact store, nor further from there."""
    server, other = servers(), servers()
    url = f"{server.url}/redirect/302/{other.url}/part"
    headers = {"x-signed": "1", "Range": "bytes=0-1"}
    assert ask("https://workspace.invalid", url=url, headers=headers) == {}
    assert server.seen[0][1]["x-signed"] == "1"
    (_, sent) = other.seen[0]
    assert sent["Range"] == "bytes=0-1"
    assert "x-signed" not in sent
    for seen in (server.seen[0][1], sent):
        assert "Authorization" not in seen
        assert "airflow/3" not in seen["User-Agent"]


def test_the_user_agent(ask: Ask, servers: Any) -> None:
    """It names package, Python, system and Airflow as the SDK would."""
    server = servers()
    ask(server.url)
    agent = server.seen[0][1]["User-Agent"]
    assert agent.startswith("airflow-provider-databricks-air/0.")
    assert " python/3." in agent
    assert agent.endswith(" airflow/3")


@pytest.mark.parametrize(
    ("path", "words"), [("/slow", "none within 0.5 s"), ("/reset", "no answer from http")]
)
def test_slow_and_broken(ask: Ask, servers: Any, path: str, words: str) -> None:
    """A slow answer and a reset are trouble on the way, in the same words."""
    with pytest.raises(ServiceError, match=words):
        ask(servers().url, path, timeout=0.5)
