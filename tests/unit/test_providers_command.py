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
"""``airflow providers …``: what a user sees of this package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow.providers.databricks_air import __version__

DISTRIBUTION = "airflow-provider-databricks-air"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("list",), [DISTRIBUTION, __version__]),
        (("get", DISTRIBUTION), [DISTRIBUTION, __version__, "Databricks"]),
        (("hooks",), ["airflow.providers.databricks_air.hooks.air.AirRuntimeHook", "Databricks AI Runtime"]),
        (("triggers",), ["airflow.providers.databricks_air.triggers.air"]),
        (("links",), ["airflow.providers.databricks_air.links.air.AirRunLink"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_providers_command_shows_the_package(
    command: tuple[str, ...], expected: list[str], airflow_db: object
) -> None:
    """Each view of ``airflow providers`` shows the package and says nothing against it."""
    result = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", *command, "--output", "plain"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for text in expected:
        assert text in result.stdout
    complaints = [
        line
        for line in (result.stdout + result.stderr).splitlines()
        if ("databricks_air" in line or "databricks-air" in line)
        and any(word in line.lower() for word in ("warning", "error", "deprecat", "inconsisten", "failed"))
    ]
    assert complaints == []
    assert "Traceback" not in result.stderr
