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
"""A running server for each test; proxies and tokens of the machine are none of its business."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from databricks_air_local import LocalAirRuntime
from wire import Client, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

for _name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
    del os.environ[_name]
os.environ.update(NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost")


@pytest.fixture
def air() -> Iterator[LocalAirRuntime]:
    """Start a server with a state of its own, and one volume."""
    with LocalAirRuntime(volumes=["main.default.data"]) as runtime:
        yield runtime


@pytest.fixture
def client(air: LocalAirRuntime) -> Client:
    """Return a client of that server."""
    return Client(air)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Collect servers and end those that still run."""
    started: list[ServerProcess] = []
    yield started
    for server in started:
        if server.process.poll() is None:
            server.kill()
