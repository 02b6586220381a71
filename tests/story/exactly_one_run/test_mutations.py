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
"""The promise of exactly one run is guarded: what it rests on cannot be taken away unnoticed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import fasteners
import pytest

from tests.story.exactly_one_run.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[3]
PACKAGE = Path("src/airflow/providers/databricks_air")
# What a test says that has found something wrong; anything else is a mutant that does not even run.
REASON = re.compile(r"^(assert|AssertionError|Failed|ValueError: zip)")


def _run(source: Path, tests: list[str], report: Path) -> dict[str, str]:
    """Run tests with the package at *source*; return what each failing test says, by its name.

    An error outside of a test is under the empty name.
    """
    env = {**os.environ, "PYTHONPATH": str(source), "PYTEST_ADDOPTS": ""}
    # A guard may fail by waiting for ever.
    limit = ("--timeout=600", "--timeout-method=thread")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", *limit, f"--junit-xml={report}", *tests]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1} or not report.exists():
        return {"": done.stdout[-2000:] + done.stderr[-2000:]}
    failed: dict[str, str] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = str(case.get("name")).partition("[")[0]
        for one in case.findall("failure"):
            failed[name] = str(one.get("message"))
        for one in case.findall("error"):
            failed[""] = f"{name}: {one.get('message')}"
    return failed


@pytest.fixture(scope="session")
def green(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The guards, all of which pass as long as nothing is taken away."""
    base = tmp_path_factory.getbasetemp()
    # Only a worker of xdist has a directory of its own below the one of this session.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / "mutations.json"
    guards = sorted({one.node for one in MUTATIONS})
    with fasteners.InterProcessLock(shared / "mutations.lock"):
        if not done.exists():
            failed = _run(ROOT / "src", guards, tmp_path_factory.mktemp("green") / "report.xml")
            done.write_text(json.dumps(failed))
    assert json.loads(done.read_text()) == {}, "the guards fail without any mutation"
    return set(guards)


def test_every_mutant_can_be_made() -> None:
    """What each mutation takes away stands in the sources once, and its guard is there."""
    for one in MUTATIONS:
        assert (ROOT / PACKAGE / one.file).read_text().count(one.line) == 1, one.name
        assert f"def {one.guard}(" in (ROOT / one.tests).read_text(), one.name


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_guard_fails_without_what_it_guards(mutation: Mutation, green: set[str], tmp_path: Path) -> None:
    """With one line changed, the test that is named for it fails, and fails because of what it asserts."""
    assert mutation.node in green
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / PACKAGE / mutation.file
    whole = source.read_text()
    assert whole.count(mutation.line) == 1, f"{mutation.file} has not got exactly one: {mutation.line}"
    source.write_text(whole.replace(mutation.line, mutation.without))
    failed = _run(tmp_path / "src", [mutation.node], tmp_path / "report.xml")
    assert failed, f"survived: {mutation.name}"
    other = {name: said for name, said in failed.items() if not name or not REASON.match(said)}
    assert not other, f"failed for another reason: {other}"
