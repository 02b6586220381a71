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
"""Large trees: five gibibytes, and a hundred thousand files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 64
PACK = """\
import os, resource, sys
from pathlib import Path
from airflow.providers.databricks_air.run.config.run_config import CodeSource
from airflow.providers.databricks_air.run.code.snapshot import take_snapshot
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
with open(os.devnull, "wb") as file:
    take_snapshot(CodeSource(root_path=sys.argv[1]), Path("/")).write_archive(file)
print(peak() - before)
"""


def growth(root: Path) -> int:
    """Return by how many MiB a process grows while it looks at *root* and packs it."""
    done = subprocess.run([sys.executable, "-c", PACK, str(root)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.long
def test_five_gibibytes(tmp_path: Path) -> None:
    """Packing a tree of 5 GiB takes less than 64 MiB of memory."""
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(5 * 1024**3)
    assert growth(tmp_path) < LIMIT


@pytest.mark.long
def test_a_hundred_thousand_files(tmp_path: Path) -> None:
    """A tree of 100,000 files is packed, in less than 64 MiB of memory."""
    for number in range(100_000):
        path = tmp_path / f"directory{number % 1000}" / f"file{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"x = {number}\n")
    assert growth(tmp_path) < LIMIT
