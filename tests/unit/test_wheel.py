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
"""The built wheel: what is in it, and that it works in an environment that knows nothing of this tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import airflow
import pytest

from airflow.providers.databricks_air import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow/providers/databricks_air/"
COMMANDS = "airflow_provider_databricks_air/"
METADATA = f"airflow_provider_databricks_air-{__version__}.dist-info/"
LEG = "oldest" if airflow.__version__.startswith("2.") else "newest"

pytestmark = pytest.mark.xdist_group("wheel")


def _run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without this tree on its path and return its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=env | environment,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    built = _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel beside apache-airflow-providers-databricks and return that environment's python."""
    folder = tmp_path_factory.mktemp("fresh")
    uv = ROOT / ".venv/uv/bin/uv"
    python = folder / "venv/bin/python"
    made = _run(uv, "venv", "--python", sys.executable, folder / "venv", cwd=folder)
    assert made.returncode == 0, made.stderr
    install = [uv, "pip", "install", "--python", python, "-r", ROOT / f"requirements/beside-{LEG}.txt", wheel]
    # Of these packages a test imports a part: the bytecode of all of them takes longer to make than the tests.
    installed = _run(*install, "--offline", cwd=folder, UV_COMPILE_BYTECODE="0")
    if installed.returncode:  # The first time on a machine: not everything is in uv's cache yet.
        installed = _run(*install, cwd=folder, UV_COMPILE_BYTECODE="0")
    assert installed.returncode == 0, installed.stderr
    return python


def test_wheel_holds_its_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of the wheel is below a package of ours or its metadata; the namespaces above stay untouched."""
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if not name.startswith((PACKAGE, COMMANDS, METADATA))]
    assert strangers == []


def test_wheel_holds_every_source_file(wheel: Path) -> None:
    """No module, no data file and not the typing marker is left behind, and no byte code comes along."""
    expected = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").glob("**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(METADATA)}
    assert names == expected
    assert {f"{PACKAGE}py.typed", f"{COMMANDS}example_dags/example_air_run.py"} <= names


def test_wheel_metadata(wheel: Path) -> None:
    """The wheel carries the licence, the notice and both the entry point and the supported versions."""
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(f"{METADATA}METADATA").decode()
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "Requires-Python: >=3.10\n" in metadata
    assert "Requires-Dist: apache-airflow>=2.11.0\n" in metadata
    assert {f"{METADATA}licenses/LICENSE", f"{METADATA}licenses/NOTICE"} <= set(archive.namelist())
    assert "[apache_airflow_provider]" in archive.read(f"{METADATA}entry_points.txt").decode()


def test_wheel_works_beside_the_databricks_provider(fresh_python: Path, tmp_path: Path) -> None:
    """In the fresh environment Airflow lists both providers and imports the hooks of both."""
    program = """
import json
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
hooks = {kind: getattr(manager.hooks[kind], "hook_name", None) for kind in ("databricks", "databricks_air")}
import airflow.providers.databricks_air.operators.air as module
print(json.dumps({"hooks": hooks, "providers": sorted(manager.providers), "file": module.__file__}))
"""
    result = _run(fresh_python, "-c", program, cwd=tmp_path, AIRFLOW_HOME=str(tmp_path / "home"))
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["hooks"] == {"databricks": "Databricks", "databricks_air": "Databricks AI Runtime"}
    assert {"airflow-provider-databricks-air", "apache-airflow-providers-databricks"} <= set(
        answer["providers"]
    )
    assert str(fresh_python.parents[1]) in answer["file"]


def test_wheel_runs_the_example_dag(fresh_python: Path, tmp_path: Path) -> None:
    """The demo runs from the installed wheels; without that of the local AI Runtime its command says what to install."""
    said = _run(fresh_python, "-m", "airflow_provider_databricks_air", "local", cwd=tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "pip install 'airflow-provider-databricks-air[local]'" in said.stderr

    built = _run(sys.executable, "-m", "flit_core.wheel", "--outdir", tmp_path, ROOT / "local", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    install = [ROOT / ".venv/uv/bin/uv", "pip", "install", "--offline", "--python", fresh_python]
    added = _run(*install, *tmp_path.glob("*.whl"), cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    result = _run(fresh_python, ROOT / "scripts/demo.py", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(LEG == "oldest", reason="Airflow 2.11 shows no examples of providers")
def test_wheel_shows_its_examples(fresh_python: Path, tmp_path: Path) -> None:
    """Where examples are switched on, Airflow has a bundle of ours and reads its Dags; nothing is complained about."""
    program = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag
name = "airflow-provider-databricks-air-example-dags"
bag = DagBag(DagBundlesManager().get_bundle(name).path)
print(json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors}))
"""
    settings = {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "True"}
    result = _run(fresh_python, "-c", program, cwd=tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    assert "Could not load provider module airflow_provider" not in result.stdout + result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert "example_air_run" in answer["dags"]
    assert answer["errors"] == {}


def test_wheel_brings_the_command(fresh_python: Path, tmp_path: Path) -> None:
    """The command of the distribution checks a file, and Airflow is not imported for it."""
    (tmp_path / "train.yaml").write_text(
        "experiment_name: a\ncommand: x\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    )
    command = fresh_python.parent / "airflow-databricks-air"
    result = _run(command, "validate", "train.yaml", cwd=tmp_path, AIRFLOW_HOME=str(tmp_path / "home"))
    assert (result.returncode, result.stdout) == (0, "train.yaml: ok (1 node of GPU_1xA10)\n"), result.stderr
    assert not (tmp_path / "home").exists()
