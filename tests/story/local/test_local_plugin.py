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
"""The example of the documentation: a user's own tests of a Dag."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"


def test_the_documented_tests_pass(airflow_db: Path, tmp_path: Path) -> None:
    """The example passes in a fresh pytest, and each of its tests is quick."""
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(EXAMPLES / "nightly.py", dags)
    environment = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(dags), "PYTHONPATH": str(dags)}
    options = ["-c", "/dev/null", "-p", "no:cacheprovider", "-vv", "--durations=0"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(EXAMPLES / "test_nightly.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    # The first test pays for Airflow's own start. Alone on a machine the others take less than two seconds
    # each; machines that run tests are busy.
    seconds = [float(found) for found in re.findall(r"([\d.]+)s call", done.stdout)]
    assert min(seconds) < 10, done.stdout
    print(f"seconds of the documented tests: {sorted(seconds)}")  # noqa: T201 - for whoever asks how quick
