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
"""A machine that others share: what they can reach without a token, or from another account."""

from __future__ import annotations

import base64
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.remote import AirControl
from wire import Client

ME = "/api/2.0/preview/scim/v2/Me"
VOLUME = "/Volumes/main/default/data"
NOBODY = 65534


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a directory that every account of this machine can enter."""
    path = Path(tempfile.mkdtemp(prefix="air-shared-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _blobs(air: LocalAirRuntime) -> int:
    return len(list(air.workspace.store.blobs.iterdir()))


def _part_url(client: Client) -> str:
    client.send("PUT", f"/api/2.0/fs/directories{VOLUME}")
    target = f"/api/2.0/fs/files{VOLUME}/big.bin?action=initiate-upload"
    token = client.send("POST", target).json["multipart_upload"]["session_token"]
    body = {"path": f"{VOLUME}/big.bin", "session_token": token, "start_part_number": 1, "count": 1}
    url: str = client.send("POST", "/api/2.0/fs/create-upload-part-urls", body).json["upload_part_urls"][0][
        "url"
    ]
    return urlsplit(url).path


def _download_url(client: Client, name: str) -> str:
    client.send("PUT", f"/api/2.0/fs/directories{VOLUME}")
    client.send("PUT", f"/api/2.0/fs/files{VOLUME}/{name}", name.encode())
    url: str = client.send("POST", f"/api/2.0/fs/create-download-url?path={VOLUME}/{name}", {}).json["url"]
    return urlsplit(url).path


def test_another_account_reads_nothing(shared: Path) -> None:
    """Nothing below the state directory can be opened by others, whatever the umask of who starts it."""
    old = os.umask(0o022)
    try:
        with LocalAirRuntime(shared / "state") as air:
            client = Client(air)
            client.execute("echo secret")
            files = [path for path in (shared / "state").rglob("*") if path.is_file()]
            assert any(path.name == "state.db" for path in files)
            program = (
                "import os, sys\n"
                "for path in sys.argv[1:]:\n"
                "    try: open(path).close(); print(path)\n"
                "    except PermissionError: pass\n"
            )
            if os.geteuid() == 0:
                done = subprocess.run(
                    ["/usr/bin/env", "python3", "-c", program, *map(str, files)],
                    user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
                assert (done.returncode, done.stdout) == (0, ""), done.stderr
            for path in (shared / "state").iterdir():
                assert path.stat().st_mode & 0o077 == 0, path
    finally:
        os.umask(old)


def test_a_command_has_the_usual_umask(shared: Path) -> None:
    """What protects the server's files is not handed on to commands."""
    (shared / "state").mkdir()
    command = [sys.executable, "-m", "databricks_air_local", "--state-dir", str(shared / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, umask=0o022) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(2)]
        air = LocalAirRuntime()
        air.url, air.token = (line.rpartition(" ")[2].strip() for line in lines)
        _, printed = Client(air).execute("umask")
        server.terminate()

    assert printed == ["0022"]


def test_a_sealed_url_is_no_token(air: LocalAirRuntime, client: Client) -> None:
    """A URL that was handed out opens its own file, with its own method, and nothing else."""
    one, two = _download_url(client, "one"), _download_url(client, "two")
    seal = one.split("/")[3]

    assert client.send("GET", one, Authorization="").body == b"one"
    assert client.send("PUT", one, b"x", Authorization="").status == 404
    assert client.send("GET", two.replace(two.split("/")[3], seal), Authorization="").status == 404
    for secret in (seal, *seal.split("-")):
        assert client.send("GET", ME, Authorization=f"Bearer {secret}").status == 403
    assert air.workspace.tokens.node not in one
    assert air.token not in one


def test_a_sealed_url_ends() -> None:
    """An hour later the URL is good for nothing, whatever happened to the tokens."""
    with LocalAirRuntime(volumes=["main.default.data"], clock="virtual") as air:
        client = Client(air)
        url = _download_url(client, "one")

        air.advance(3500)
        assert client.send("GET", url, Authorization="").status == 200
        air.advance(200)
        assert client.send("GET", url, Authorization="").status == 404


def test_the_journal_tells_no_secret(air: LocalAirRuntime, client: Client) -> None:
    """Neither the seal of a URL nor the secret of an OAuth client stands in the journal."""
    url = _download_url(client, "one")
    client.send("GET", url, Authorization="")
    form = f"grant_type=client_credentials&client_id=any&client_secret={air.token}"
    client.send("POST", "/oidc/v1/token", form, Authorization="")
    pair = base64.b64encode(f"any:{air.token}".encode()).decode()
    client.send("POST", "/oidc/v1/token", "grant_type=client_credentials", Authorization=f"Basic {pair}")

    told = repr(air.requests())

    assert air.token not in told
    assert url.split("/")[3] not in told
    assert "client_secret" in told
    assert any(request.path.endswith("/volumes/Volumes/main/default/data/one") for request in air.requests())


@pytest.mark.parametrize("header", ["", "Bearer wrong"])
def test_nothing_is_kept_of_a_stranger(air: LocalAirRuntime, client: Client, header: str) -> None:
    """Without a token nothing is written to disk, to the journal or to the log."""
    blobs = _blobs(air)

    answers = [
        client.send("POST", "/api/2.0/workspace/mkdirs", b"x" * 100_000, Authorization=header),
        client.send("PUT", f"/api/2.0/fs/files{VOLUME}/x", b"x" * 100_000, Authorization=header),
        client.send("PUT", "/local/part/token/1", b"x" * 100_000, Authorization=header),
        client.send("PUT", "/local/sealed/1-1/parts/token/1", b"x" * 100_000, Authorization=header),
    ]

    assert [answer.status for answer in answers[:2]] == ([403, 403] if header else [401, 401])
    assert [answer.status for answer in answers[2:]] == [404, 404]
    assert air.requests() == []
    assert _blobs(air) == blobs


def test_a_body_is_not_read_before_the_token(air: LocalAirRuntime) -> None:
    """The answer to a stranger comes although most of the announced body was never sent."""
    parts = urlsplit(air.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(
            b"PUT /api/2.0/fs/files/Volumes/a/b/c/d HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 300000000\r\n\r\n" + b"x" * 1000
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_the_journal_is_bounded_in_bytes(air: LocalAirRuntime, client: Client) -> None:
    """Many large bodies push the oldest requests out; what is kept stays below 16 MiB."""
    body = b'{"path": "/x", "filler": "' + b"x" * 60_000 + b'"}'
    for _ in range(400):
        client.send("POST", "/api/2.0/workspace/mkdirs", body)

    kept = air.requests()

    assert sum(len(request.body) for request in kept) <= 16 * 1024**2
    assert kept[-1].number == 400
    assert kept[0].number > 1


def test_an_unknown_route_tells_method_and_path_only(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a client sends to a route that does not exist, the log shows neither body nor query."""
    client.send("POST", "/api/2.0/secrets/put?key=hush", {"string_value": "hunter2"})
    client.send("POST", "/api/2.0/secrets/put", {"string_value": "hunter2"}, Authorization="")

    assert "UNKNOWN ROUTE POST /api/2.0/secrets/put" in caplog.text
    assert "hunter2" not in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "]"])
def test_a_host_that_is_none(client: Client, host: str, caplog: pytest.LogCaptureFixture) -> None:
    """A header that cannot be read is the client's mistake, not the server's."""
    caplog.set_level(logging.ERROR)

    assert client.send("GET", "/", Host=host, Authorization="").status in {400, 403}
    assert "broke the local AI Runtime" not in caplog.text


def test_pages_need_a_key(air: LocalAirRuntime, client: Client) -> None:
    """A page asks for a key, which works once and leaves a cookie; the token as a password works always."""
    run_id = client.submit("true")
    client.wait(run_id)
    closed = client.send("GET", f"/jobs/runs/{run_id}", Authorization="")
    assert (closed.status, b"demo" in closed.body) == (401, False)

    first = urlsplit(air.page_url(f"/jobs/runs/{run_id}"))
    opened = client.send("GET", f"{first.path}?{first.query}", Authorization="")
    cookie = opened.headers["Set-Cookie"]
    assert (opened.status, opened.headers["Location"]) == (303, f"/jobs/runs/{run_id}")
    assert "HttpOnly" in cookie
    again = client.send("GET", f"{first.path}?{first.query}", Authorization="")
    assert again.status == 401

    value = cookie.partition(";")[0]
    page = client.send("GET", f"/jobs/runs/{run_id}", Authorization="", Cookie=value)
    assert (page.status, b"demo" in page.body) == (200, True)
    for wrong in (value[:-1] + "x", value.partition("=")[0] + "="):
        assert client.send("GET", "/", Authorization="", Cookie=wrong).status == 401
    password = base64.b64encode(f"me:{air.token}".encode()).decode()
    assert client.send("GET", "/", Authorization=f"Basic {password}").status == 200
    assert client.send("GET", ME, Authorization="", Cookie=value).status == 401


def test_the_token_opens_the_pages(air: LocalAirRuntime, client: Client) -> None:
    """The page that asks for a key takes the token in its form, and leads back to where one came from."""
    form = client.send("GET", "/jobs/runs/5?o=1", Authorization="").body.decode()
    field = re.search(r"name=next value='([^']*)'", form)
    assert field is not None
    assert client.send("POST", "/login", "token=wrong&next=/", Authorization="").status == 401

    done = client.send("POST", "/login", f"token={air.token}&next={field[1]}", Authorization="")

    assert (done.status, done.headers["Location"]) == (303, "/jobs/runs/5?o=1")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        led = client.send("POST", "/login", f"token={air.token}&next={elsewhere}", Authorization="")
        assert led.headers["Location"] == "/"
    assert air.token not in repr(air.requests())


def test_the_command_prints_a_key(shared: Path) -> None:
    """The URL that the command prints opens the pages once; what it warns of beyond loopback, it warns once."""
    command = [sys.executable, "-m", "databricks_air_local", "--host", "0.0.0.0", "--i-know"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        lines = [server.stdout.readline() for _ in range(4)]
        server.terminate()
        warnings = server.stderr.read().splitlines()

    assert lines[3].startswith("Pages: http://")
    assert "?key=" in lines[3]
    (line,) = warnings
    assert "others" in line


def test_tls(tmp_path: Path) -> None:
    """With a certificate others are answered in https only; commands have a way of their own on this machine."""
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True)

    with LocalAirRuntime(tmp_path / "state", tls=(certificate, key)) as air:
        client = Client(AirControl(air.control_url, air.token))
        run_id = client.submit("echo $DATABRICKS_HOST")
        run = client.wait(run_id)
        trusted = ssl.create_default_context(cafile=certificate)
        me = Request(
            f"{air.url}/api/2.0/preview/scim/v2/Me", headers={"Authorization": f"Bearer {air.token}"}
        )

        assert air.url.startswith("https://127.0.0.1:")
        assert urlopen(me, context=trusted).status == 200
        assert run["run_page_url"].startswith(air.url)
        assert client.logs(run_id) == [air.control_url]
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urlopen(me)
        with pytest.raises((OSError, HTTPException)):
            Client(AirControl(air.url.replace("https", "http"), air.token)).get("/")
