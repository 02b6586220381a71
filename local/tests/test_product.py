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
"""The command as scripts, containers and test suites use it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from databricks_air_local import LocalAirRuntime
from databricks_air_local.remote import AirControl
from wire import ALONE, Client

COMMAND = [sys.executable, *ALONE]


def test_a_command_runs_with_the_server_up() -> None:
    """Behind ``--`` stands a command: it has the connection in its environment, and its exit code is ours."""
    program = (
        "import os, urllib.request as u\n"
        "request = u.Request(os.environ['DATABRICKS_HOST'] + '/api/2.0/preview/scim/v2/Me',"
        " headers={'Authorization': 'Bearer ' + os.environ['DATABRICKS_TOKEN']})\n"
        "print(u.urlopen(request).status, os.environ['AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT'][:16])\n"
        "raise SystemExit(7)\n"
    )

    done = subprocess.run(
        [*COMMAND, "--user", "a@b.c", "--", sys.executable, "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (7, "200 databricks-air:/\n")


def test_a_command_that_does_not_exist() -> None:
    """A command that cannot be started is one line and status 2."""
    done = subprocess.run(
        [*COMMAND, "--", "no-such-command"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (2, "error: no-such-command: No such file or directory\n")


def test_one_line_of_json_for_scripts(tmp_path: Path) -> None:
    """``--json`` prints one line when the server is up; ``--token`` is the token, also in a directory of before."""
    for token in ("token-of-somebody-1", "token-of-somebody-2"):
        arguments = [*COMMAND, "--json", "--token", token, "--state-dir", str(tmp_path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            shown = json.loads(server.stdout.readline())
            air = LocalAirRuntime()
            air.url, air.token = shown["url"], token
            status = Client(air).get("/api/2.0/preview/scim/v2/Me").status
            server.terminate()

        assert (shown["token"], status) == (token, 200)
        assert set(shown) == {"url", "token", "connection_uri", "pages"}


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--token", "short"], "--token"), (["--public-url", "host:80"], "must begin with http:// or https://")],
)
def test_wrong_options(options: list[str], words: str) -> None:
    """A token that is none, and a URL that is none, are refused at the start."""
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_public_url() -> None:
    """Every URL that the server gives is the one that others reach it by; commands beside it use where it listens."""
    with LocalAirRuntime(public_url="http://air.example:8080/") as air:
        client = Client(air)
        air.url = air.control_url
        run_id = client.submit("echo $DATABRICKS_HOST")
        run = client.wait(run_id)
        output = client.get("/api/2.2/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"]).json
        ids = output["ai_runtime_task_output"]
        signed = client.get(
            "/api/2.0/mlflow/artifacts/credentials-for-read", run_id=ids["mlflow_run_id"], path="x"
        ).json["credential_infos"][0]["signed_uri"]

        assert run["run_page_url"].startswith("http://air.example:8080/jobs/runs/")
        assert signed.startswith("http://air.example:8080/local/sealed/")
        assert client.logs(run_id) == [air.control_url]
        assert client.send("GET", "/", Host="air.example:8080", Authorization="").status == 401
        assert client.send("GET", "/", Host="evil.example", Authorization="").status == 403


def test_the_fixture_has_parameters(tmp_path: Path) -> None:
    """A session's server, another connection and options of the server: one line of a ``conftest.py``."""
    (tmp_path / "conftest.py").write_text(
        "from databricks_air_local.pytest_plugin import air_fixture\n"
        "gpu = air_fixture(scope='session', conn_id='gpu', user='x@y.z')\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import os, pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def url(gpu): return gpu.url\n"
        "def test_one(gpu, url): assert gpu.url == url and os.environ['AIRFLOW_CONN_GPU'] == gpu.connection_uri\n"
        "def test_two(gpu, url): assert gpu.url == url\n"
        "def test_default(air): assert os.environ['AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT'] == air.connection_uri\n"
        "def test_gone(): assert 'AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT' not in os.environ\n"
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", "."],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_compose_example(tmp_path: Path) -> None:
    """The documented command gives URLs that other containers reach, and answers under its name in their network."""
    file = Path(__file__).resolve().parents[2] / "docs/examples/compose/compose.yaml"
    if not file.exists():
        pytest.skip("the docs are not in this distribution")
    document = yaml.safe_load(file.read_text())
    line = document["services"]["air"]["command"][-1].partition("exec databricks-air-local ")[2]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = line.replace("--port 8390", f"--port {port}").replace("/state", str(tmp_path)).split()
    with subprocess.Popen([*COMMAND, "--json", *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        shown = json.loads(server.stdout.readline())
        client = Client(AirControl(f"http://127.0.0.1:{port}", shown["token"]))
        run = client.wait(client.submit("echo $DATABRICKS_HOST"))
        wanted = {"path": "/Volumes/main/default/data/x"}
        client.send("PUT", f"/api/2.0/fs/files{wanted['path']}", b"content")
        signed = client.send("POST", "/api/2.0/fs/create-download-url", wanted).json["url"]
        content = client.send(
            "GET", signed.removeprefix("http://air:8390"), Host="air:8390", Authorization=""
        ).body
        server.terminate()

    assert shown["url"] == "http://air:8390"
    assert run["run_page_url"].startswith("http://air:8390/jobs/runs/")
    assert run["state"]["result_state"] == "SUCCESS"
    assert signed.startswith("http://air:8390/")
    assert content == b"content"
    airflow = document["services"]["airflow"]["environment"]
    assert airflow["AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT"] == shown["connection_uri"]
