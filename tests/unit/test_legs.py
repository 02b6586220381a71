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
"""Which tests run on one leg only: those marked ``plain``, which can know nothing of Airflow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
OURS = "airflow.providers.databricks_air"
# The rooms of the package that import no Airflow, which `make check` holds, and the commands, which start without it.
WITHOUT_AIRFLOW = tuple(f"{OURS}.{room}" for room in ("api", "cli", "run"))


def _needs_airflow(name: str) -> bool:
    """Return whether a module is Airflow's, or of the part of this package that imports Airflow."""
    return name.split(".", maxsplit=1)[0] == "airflow" and not f"{name}.".startswith(
        tuple(f"{room}." for room in WITHOUT_AIRFLOW)
    )


def _imports(path: Path) -> set[str]:
    """Return the modules that a file of tests imports, wherever the import stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_what_is_plain_imports_no_airflow(request: pytest.FixtureRequest) -> None:
    """A test that runs on one leg only neither imports Airflow nor asks for a fixture that runs it."""
    plain = [item for item in request.session.items if item.get_closest_marker("plain")]
    files = {item.path for item in plain}
    assert {path: found for path in files if (found := set(filter(_needs_airflow, _imports(path))))} == {}
    fixtures = {name for item in plain for name in getattr(item, "fixturenames", ())}
    assert not fixtures & {"airflow_db", "airflow_home", "run_dag"}
