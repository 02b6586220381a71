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
"""Systems that do not show the environments of processes, as Linux does below ``/proc``."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.engine import node
from databricks_air_local.engine.node import KILLED, MARK, NodeProcess, NodeSpec
from wire import Client, is_alive, until


@pytest.fixture(autouse=True)
def no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the directory away, which is all that these systems differ in here."""
    monkeypatch.setattr(node, "PROCESSES", tmp_path / "proc")


def test_runs_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server starts, says once what it cannot do, and runs end and are cancelled as everywhere."""
    with caplog.at_level(logging.WARNING), LocalAirRuntime(tmp_path / "s", memory_limit=2**40, cpus=1) as air:
        client = Client(air)
        run, lines = client.execute("echo done")
        endless = client.submit("echo $$; sleep 600", name="endless")
        client.wait(endless, lambda _: client.logs(endless) != [])
        client.send("POST", "/api/2.2/jobs/runs/cancel", {"run_id": endless})
        client.wait(endless)
        pid = int(client.logs(endless)[0])

    assert (run["state"]["result_state"], lines) == ("SUCCESS", ["done"])
    assert until(lambda: not is_alive(pid))
    assert [record.message.partition(":")[0] for record in caplog.records if "/proc" in record.message] == [
        "This system has no /proc"
    ]


def test_a_process_of_an_earlier_server(tmp_path: Path) -> None:
    """A process is known again by its command line, and can be killed; a number that another has is not it."""
    directory = tmp_path / "node_0"
    directory.mkdir()
    (directory / "command.sh").write_text("sleep 600")
    variables = {"PATH": os.environ["PATH"], MARK: uuid.uuid4().hex}
    spec = NodeSpec(directory, directory / "command.sh", variables, keep=True)
    started = NodeProcess.start(spec, -1)

    found = NodeProcess.found(directory)
    other = NodeProcess(tmp_path / "node_0", os.getpid(), "mark", None)
    other._directory = tmp_path / "elsewhere"

    assert found is not None
    assert found.poll() is None
    assert other.poll() == KILLED
    found.kill()
    assert until(lambda: started.poll() is not None)
    assert found.poll() == KILLED
    for process in (started, found, other):
        process.close()
