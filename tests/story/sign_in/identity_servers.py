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

"""Everybody who gives out tokens to Databricks clients, on this machine: Entra, Google, GitHub, Azure DevOps and more."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from databricks_air_local import LocalAirRuntime

__all__ = ["IdentityServers", "make_certificate"]

HOSTS = ("login.microsoftonline.com", "iamcredentials.googleapis.com", "oauth2.googleapis.com")
WORKSPACE_TOKEN = "/oidc/v1/token"


class IdentityServers:
    """One server that is all of them, and the proxy through which those with names of their own are reached.

    It gives out tokens of the workspace, and takes part in its faults.

    :param air: the workspace.
    :param directory: for the certificate.
    :param seconds: how long a token is good.
    """

    def __init__(self, air: LocalAirRuntime, directory: Path, seconds: float) -> None:
        self.air = air
        self.seconds = seconds
        self.fault = ""
        self.asked: Counter[str] = Counter()
        self.certificate = make_certificate(directory, HOSTS)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate.with_suffix(".pem"))
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.secrets: set[str] = set()

    def __enter__(self) -> IdentityServers:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def mint(self) -> str:
        """Return a token that the workspace accepts."""
        token = self.air.issue_token(self.seconds)
        self.secrets.add(token)
        return token

    def end_tokens(self) -> None:
        """Let the workspace refuse all tokens that were given out so far."""
        self.air.expire_tokens()
        self.air.renew_token()

    def break_down(self, fault: str) -> None:
        """Behave badly from now on, those at the workspace too.

        :param fault: ``down``, ``503``, ``garbage`` or ``refuse``; empty for well again.
        """
        self.fault = fault
        self.air.clear_faults()
        if fault:
            self.air.add_fault(WORKSPACE_TOKEN, times=-1, **_WORKSPACE_FAULTS[fault])

    def fetched(self, way: str) -> float:
        """Return how many tokens were asked for in a way to sign in; each way has its own client id.

        :param way: ``auth_type`` of a connection.
        """
        seen = self.air.requests(path=WORKSPACE_TOKEN)
        clients = [parse_qs(request.body).get("client_id", [""])[-1] for request in seen]
        # Client id and secret are in a header that the workspace writes down nowhere.
        at_workspace = (
            clients.count("") / len(_SECRETIVE) if way in _SECRETIVE else clients.count(f"app-{way}")
        )
        return self.asked[way] + at_workspace


_REFUSAL = {"error": "invalid_client", "error_description": "Client authentication failed"}
_WORKSPACE_FAULTS: dict[str, dict[str, Any]] = {
    "down": {"then": "reset"},
    "503": {"status": 503},
    "garbage": {"then": "garbage"},
    "refuse": {
        "status": 401,
        "body": json.dumps(_REFUSAL),
        "headers": {"Content-Type": "application/json"},
    },
}

_SECRETIVE = {"oauth-m2m", "profile", "default"}


def make_certificate(directory: Path, hosts: tuple[str, ...]) -> Path:
    """Make a certificate that nobody has signed; beside it stands a file ``.pem`` with its key too.

    :param directory: where to.
    :param hosts: names that it is for.
    """
    key, certificate = directory / "own.key", directory / "own.crt"
    names = ",".join(f"DNS:{host}" for host in hosts)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stories"]
        + ["-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    certificate.with_suffix(".pem").write_text(key.read_text() + certificate.read_text())
    return certificate


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, world: IdentityServers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world = world

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the stories."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    host = ""

    def do_CONNECT(self) -> None:
        """Be the proxy, and the host behind it."""
        self.send_response(200)
        self.end_headers()
        self.host = self.path.partition(":")[0]
        self.connection = self.server.world.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_GET(self) -> None:
        """Answer as whoever is asked."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        world = self.server.world
        way, answer = self._answer(body)
        world.asked[way] += 1
        if world.fault == "down":
            self.close_connection = True
            self.connection.close()
        elif world.fault == "503":
            self._send(503, b"<html>busy</html>", "text/html")
        elif world.fault == "garbage":
            self._send(200, b"\x00garbage", "application/octet-stream")
        elif world.fault == "refuse" and way not in {"github", "azure-devops"}:
            status, words = _refusal(way)
            self._send(status, json.dumps(words).encode())
        else:
            self._send(200, json.dumps(answer).encode())

    def do_POST(self) -> None:
        """Answer as whoever is asked."""
        self.do_GET()

    def _answer(self, body: str) -> tuple[str, Any]:
        """Return the way to sign in that a request belongs to, and the answer while all is well."""
        world, parts = self.server.world, urlsplit(self.path)
        form = {name: values[-1] for name, values in parse_qs(body).items()}
        if self.host == "login.microsoftonline.com":
            return form["client_id"].removeprefix("app-"), _oauth(world)
        if self.host == "iamcredentials.googleapis.com":
            return "google-id", _impersonated(world, parts.path)
        name = parts.path.strip("/").split("/")[0]
        answers: dict[str, Callable[[], tuple[str, Any]]] = {
            "metadata": lambda: (
                "azure-msi",
                {"access_token": world.mint(), "expires_in": str(int(world.seconds))},
            ),
            "service": lambda: (
                "metadata-service",
                {**_oauth(world), "expires_on": time.time() + world.seconds},
            ),
            "github": lambda: ("github", {"value": world.air.token}),
            "github-azure": lambda: ("github", {"value": world.air.token}),
            "devops": lambda: ("azure-devops", {"oidcToken": world.air.token}),
            "google": lambda: ("google-credentials", {**_oauth(world), "id_token": world.mint()}),
            "google-source": lambda: ("google-source", {**_oauth(world), "expires_in": 3600}),
            "az": lambda: ("azure-cli", _cli(world, "accessToken", "tokenType", "expiresOn")),
            "databricks": lambda: ("databricks-cli", _cli(world, "access_token", "token_type", "expiry")),
        }
        return answers[name]()

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _oauth(world: IdentityServers) -> dict[str, Any]:
    return {"access_token": world.mint(), "token_type": "Bearer", "expires_in": int(world.seconds)}


def _impersonated(world: IdentityServers, path: str) -> dict[str, Any]:
    if path.endswith("/allowedLocations"):
        return {"locations": [], "encodedLocations": "0x0"}
    if path.endswith(":generateIdToken"):
        return {"token": world.mint()}
    expiry = datetime.fromtimestamp(time.time() + 3600, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"accessToken": world.mint(), "expireTime": expiry}


def _cli(world: IdentityServers, token: str, kind: str, expiry: str) -> dict[str, Any]:
    # Both commands print local time.
    end = datetime.fromtimestamp(time.time() + world.seconds)  # noqa: DTZ006
    return {token: world.mint(), kind: "Bearer", expiry: end.strftime("%Y-%m-%d %H:%M:%S")}


def _refusal(way: str) -> tuple[int, Any]:
    if way == "google-id":
        denied = {"code": 403, "message": "Permission denied on the account", "status": "PERMISSION_DENIED"}
        return 403, {"error": denied}
    if way.startswith("google"):
        return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    if way == "azure-msi":
        return 400, {"error": "invalid_request", "error_description": "Identity not found"}
    return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}
