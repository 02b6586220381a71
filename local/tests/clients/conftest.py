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
"""The judges, pointed at a server of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from judge import Judge, environment_of


@pytest.fixture
def air() -> Iterator[LocalAirRuntime]:
    """Start a server that also writes the platform's own first line, which clients hide."""
    with LocalAirRuntime(requirements_notice=True, volumes=["main.default.data"]) as runtime:
        yield runtime


@pytest.fixture
def judging(air: LocalAirRuntime, tmp_path: Path) -> Judge:
    """Return ``databricks-air`` and the SDK that it was released with."""
    return Judge(air, environment_of("databricks-air==1.2.1", "databricks-sdk==0.156.0"), tmp_path)
