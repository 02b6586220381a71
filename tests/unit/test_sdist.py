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
"""The source distributions: whoever unpacks one can test it and build its docs without this repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from airflow.providers.databricks_air import __version__

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("sdist")]


def _unpacked(project: Path, backend: str, folder: Path) -> Path:
    """Build a source distribution and return the folder that is in it."""
    (folder / "dist").mkdir()
    built = subprocess.run(
        [sys.executable, "-c", f"import {backend} as backend; backend.build_sdist({str(folder / 'dist')!r})"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (archive,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.name.endswith(f"-{__version__}"))
    return unpacked


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of the provider."""
    return _unpacked(ROOT, "hatchling.build", tmp_path_factory.mktemp("provider"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of the local AI Runtime."""
    return _unpacked(ROOT / "local", "flit_core.buildapi", tmp_path_factory.mktemp("local"))


def _run(folder: Path, *command: str) -> str:
    """Run a Python module in *folder*, on the sources there, and return what it says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    env |= {"PYTHONPATH": str(folder / "src"), "AIRFLOW_HOME": str(folder / ".airflow")}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


# Those about the repository itself: its wheels and its commits.
WHOLE_REPOSITORY = ("tests/unit/test_wheel.py", "tests/unit/test_reliability_docs.py")


@pytest.mark.timeout(900)
def test_unit_and_wire_tests_pass_from_the_unpacked_provider(provider: Path) -> None:
    """The tests in the archive find every file that they read, and test the sources beside them."""
    ignored = [f"--ignore={path}" for path in WHOLE_REPOSITORY]
    where = "import airflow.providers.databricks_air as p; print(p.__file__)"
    (provider / "where.py").write_text(where)
    assert str(provider) in _run(provider, "where")
    assert " passed" in _run(provider, "pytest", "-q", "-m", "not long", "tests/unit", "tests/wire", *ignored)


def test_docs_are_built_from_the_unpacked_provider(provider: Path, tmp_path: Path) -> None:
    """Every page, include, example and picture is in the archive."""
    pytest.importorskip("sphinx")
    _run(provider, "sphinx", "-W", "-q", "-b", "html", "docs", str(tmp_path / "html"))
    assert (tmp_path / "html/index.html").is_file()


@pytest.mark.timeout(900)
def test_tests_pass_from_the_unpacked_local_runtime(local: Path) -> None:
    """The tests of the local AI Runtime need nothing of the provider."""
    assert " passed" in _run(local, "pytest", "-q", "-m", "not long", "-k", "not judges and not browser")
