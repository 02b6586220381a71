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
"""How many requests of a launch wait for one another."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.launch.conftest import Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.plain

LATENCY = 0.25
"""Seconds; what is sent together is sent within them, also on a busy machine."""
TRIES = 4
HOME = "/Workspace/Users/you@example.com"
NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """A local AI Runtime far away."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air"), latency=LATENCY) as runtime:
        runtime.on("*").succeeds()
        yield runtime


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has not launched anything yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def chain_of(launcher: Launcher, few: int, prepare: Callable[[], None] = lambda: None) -> int:
    """Launch, and return the length of the longest chain of requests that waited for each other.

    A machine that stands still between two requests makes a chain look longer than it is, never shorter: then
    there is another launch.

    :param few: how long it is to be.
    :param prepare: called before each launch.
    """
    found: list[int] = []
    while len(found) < TRIES and few not in found:
        prepare()
        launcher.air.clear_requests()
        launcher.launch(launcher.config(mlflow_experiment_directory=None), token=f"round-{next(NUMBERS)}")
        requests = launcher.air.requests()
        ends = [request.time + request.duration + LATENCY for request in requests]
        chains: list[int] = []
        for request in requests:
            before = [chain for chain, end in zip(chains, ends, strict=False) if end <= request.time + 0.001]
            chains.append(1 + max(before, default=0))
        submit = next(n for n, request in enumerate(requests) if request.path.endswith("/jobs/runs/submit"))
        found.append(chains[submit])
    return min(found)


def test_code_that_is_there_takes_three(launcher: Launcher) -> None:
    """Who we are and what is there are asked together, then come the files of the launch, then the submission."""
    launcher.launch()
    assert chain_of(launcher, 3) == 3
    assert not launcher.air.requests(path="*/import-file/*.tar.gz")


def test_code_that_changed_takes_three(launcher: Launcher) -> None:
    """The code goes beside the other files."""
    launcher.launch()

    def change() -> None:
        for number in range(300):
            (launcher.code / f"part{number}.py").write_text(f"VALUE = {next(NUMBERS)}\n")

    assert chain_of(launcher, 3, change) == 3
    assert launcher.air.requests(path="*/import-file/*.tar.gz")


def test_first_launch_of_a_machine_takes_four(launcher: Launcher, cache: Path) -> None:
    """Where nothing is remembered, who we are is asked before all else."""
    launcher.launch()

    def forget() -> None:
        (cache / "databricks-air" / "homes.json").unlink()

    assert chain_of(launcher, 4, forget) == 4


@pytest.mark.parametrize(
    "kept", ["/Workspace/Users/somebody.else@example.com", "/Workspace/nowhere", 7, None]
)
def test_who_we_were_is_no_proof(launcher: Launcher, cache: Path, kept: object) -> None:
    """With another answer than the last time, and with a file that cannot be read, nothing goes to the old place."""
    launcher.launch()
    file = cache / "databricks-air" / "homes.json"
    (name,) = json.loads(file.read_text())
    file.write_text(json.dumps({name: kept}) if kept else "{")
    launcher.air.clear_requests()
    launcher.launch()
    written = [unquote(request.path) for request in launcher.air.requests(path="*/import-file/*")]
    assert written
    assert all(HOME in path for path in written)
    assert HOME in str(launcher.air.runs()[-1]["body"])
    assert json.loads(file.read_text()) == {name: HOME}
