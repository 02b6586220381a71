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
"""A running local AI Runtime for tests of Dags: pytest knows the fixture ``air`` where this is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databricks_air_local.runtime import LocalAirRuntime

__all__ = ["air"]


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirRuntime]:
    """Start a server for one test and make it the connection ``databricks_air_default``."""
    # Every pytest of the environment loads this module, also those that never ask for the server.
    from databricks_air_local.runtime import LocalAirRuntime

    with LocalAirRuntime(tmp_path / "air") as runtime:
        monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", runtime.connection_uri)
        yield runtime
