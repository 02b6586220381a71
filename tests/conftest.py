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
"""Every pytest process gets an Airflow of its own: home, database and settings in a temporary directory."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

import fasteners
import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

_TESTS = Path(__file__).resolve().parent
_CACHE = _TESTS.parent / ".cache"

# `make test` tries the same examples every time. `make test-long` looks for new ones: what fails is printed as a
# line to put above the test, and is the first that the next run on this machine tries.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile(
    "explore",
    print_blob=True,
    database=DirectoryBasedExampleDatabase(_CACHE / "hypothesis"),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "repeatable")

# Airflow reads its configuration when it is first imported, which collection already does: this
# module is the first that pytest loads, so the environment is set here and not in a fixture.
_HOME = Path(tempfile.mkdtemp(prefix="air-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "DATABRICKS_"))]:
    del os.environ[_name]
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # A proxy of the machine must not stand between a test and its server on 127.0.0.1.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
)
(_HOME / "dags").mkdir()


# What imports no Airflow says nothing about Airflow's version: `make test` runs it on the newest leg alone.
_PLAIN = [_TESTS / folder for folder in ("unit/api", "unit/cli", "unit/run", "wire")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``plain`` what stands in a folder of tests that import no Airflow; begin with what goes together."""
    for item in items:
        if any(folder in item.path.parents for folder in _PLAIN):
            item.add_marker("plain")
    # A group keeps one worker busy for minutes: begun last, the others would wait for it.
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_unconfigure() -> None:
    """Remove the home; the worker processes of pytest-xdist end without calling what ``atexit`` knows."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the AIRFLOW_HOME of this process, with an empty folder ``dags`` in it; no database yet."""
    return _HOME


def _airflow_release() -> str:
    """Return a name for what makes the tables: Airflow and its providers, in their versions."""
    found = sorted(
        f"{name}=={one.version}"
        for one in distributions()
        if (name := (one.metadata["Name"] or "").lower()).startswith("apache-airflow")
    )
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


@pytest.fixture(scope="session")
def airflow_db(airflow_home: Path) -> Path:
    """Give this process a metadata database and return its file; an empty one is made once for each Airflow."""
    database, empty = airflow_home / "airflow.db", _CACHE / f"airflow-{_airflow_release()}.db"
    empty.parent.mkdir(exist_ok=True)
    with fasteners.InterProcessLock(empty.with_suffix(".lock")):
        if not empty.exists():
            migration = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert migration.returncode == 0, migration.stdout + migration.stderr
            shutil.copy(database, part := empty.with_suffix(".part"))
            part.replace(empty)
    shutil.copy(empty, database)
    return database
