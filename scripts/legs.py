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
from datetime import datetime, timedelta
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


LEGS = (
    Leg("2.11.2", "3.10"),
    Leg("2.11.2", "3.12"),
    Leg("3.0.6", "3.11"),
    Leg("3.1.8", "3.12"),
    Leg("3.2.2", "3.13"),
    Leg("3.3.2", "3.12"),
    Leg("3.3.2", "3.13"),
    Leg("3.3.2", "3.14"),
    Leg("3.4.0b2", "3.13"),
)
BUILT_WITH = ("flit_core", "hatchling", "editables")
SUCCESS = "tests/story/test_first_run.py::test_success_returns_the_result"


def install(leg: Leg) -> str:
    """Make the environment of a leg; return why it cannot be made, or nothing."""
    python = leg.environment / "bin/python"
    if not python.exists():
        made = _uv("venv", "--quiet", "--python", leg.python, str(leg.environment))
        if made.returncode:
            return f"no Python {leg.python} on this machine"
    here = ("pip", "install", "--quiet", "--python", str(python))
    needed = [name for file in ("between", "test") for name in _names(file) if name not in BUILT_WITH]
    done = _uv(
        *here, "--prerelease", "if-necessary-or-explicit", "--exclude-newer", _soon_after(leg.airflow),
        f"apache-airflow=={leg.airflow}", *needed,
    )  # fmt: skip
    if done.returncode == 0:
        done = _uv(
            *here, "--no-deps", *BUILT_WITH, "--editable", str(ROOT), "--editable", str(ROOT / "local")
        )
    return "" if done.returncode == 0 else _reason(done.stderr)


def _names(file: str) -> list[str]:
    lines = (ROOT / f"requirements/{file}.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r", "apache-airflow=="))]


def smoke(leg: Leg) -> list[str]:
    """Return what came of the three runs of a leg."""
    return [
        _passed(leg, "-m", "pytest", "-q", f"{SUCCESS}[sync]"),
        _passed(leg, "-m", "pytest", "-q", f"{SUCCESS}[deferrable]"),
        _passed(leg, "-W", "ignore", "-m", "tests.story.chaos", "--cause", "kill-while-waiting", "--trials", "1"),
    ]  # fmt: skip


def _passed(leg: Leg, *arguments: str) -> str:
    home = ROOT / f".cache/legs/{leg.airflow}-{leg.python}"
    home.mkdir(parents=True, exist_ok=True)
    python = str(leg.environment / "bin/python")
    done = subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env={**os.environ, "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    (home / "last.log").write_text(done.stdout + done.stderr)
    return "passed" if done.returncode == 0 else f"failed ({home / 'last.log'})"


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


def main(arguments: list[str]) -> int:
    """Try the legs that are named (``3.2.2-3.13``), or all, and write the page of all.

    :param arguments: of the command line.
    """
    rows, failed = "", False
    for leg in LEGS:
        if arguments and f"{leg.airflow}-{leg.python}" not in arguments:
            continue
        missing = install(leg)
        results = [f"left out: {missing}", "", ""] if missing else smoke(leg)
        failed = failed or any(result.startswith("failed") for result in results)
        print(leg.airflow, leg.python, *results, sep="\t", flush=True)
        rows += "".join(
            f"   {'*' if at == 0 else ' '} - {cell.partition(' (')[0]}\n"
            for at, cell in enumerate([leg.airflow, leg.python, *results])
        )
    if not arguments and not failed:
        TARGET.write_text(HEAD + rows, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
