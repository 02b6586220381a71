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
"""The command ``local`` of the provider: it starts the server where that is installed, and says so where not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow.providers.databricks_air.cli.parser import main


def test_it_starts_the_server(tmp_path: Path) -> None:
    """The server that it starts prints its URL, its token and a connection, and ends with an interrupt."""
    server = subprocess.Popen(
        [sys.executable, "-m", "airflow.providers.databricks_air", "local", "--state-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    lines = [server.stdout.readline() for _ in range(3)]
    server.send_signal(signal.SIGINT)

    assert server.wait(30) == 0
    assert lines[0].startswith("Local AI Runtime: http://127.0.0.1:")
    assert lines[2].startswith("export AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT=databricks-air://")


@pytest.mark.parametrize("options", [[], ["--port", "5", "-x"]])
def test_without_the_server_it_is_one_sentence(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the distribution is missing, the command names what to install, whatever options are given."""
    monkeypatch.setattr(
        "airflow.providers.databricks_air.cli.commands.local._SERVER", "databricks_air_local_is_not_installed"
    )

    assert main(["local", *options]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'airflow-provider-databricks-air[local]'" in line


def test_help_needs_no_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The list of commands is complete without the server."""
    monkeypatch.setattr(
        "airflow.providers.databricks_air.cli.commands.local._SERVER", "databricks_air_local_is_not_installed"
    )

    with pytest.raises(SystemExit):
        main(["--help"])

    assert "Start the local AI Runtime" in capsys.readouterr().out
