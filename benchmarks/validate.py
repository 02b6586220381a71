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
"""What ``validate`` costs: its start, and each file after that.

Every line is one measurement with the seconds on the clock and on the processor; the limits are for the clock::

    python benchmarks/validate.py [files]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parent.parent
ALONE = ("-m", "airflow_provider_databricks_air")
EXAMPLE = TREE / "docs/examples/train.yaml"
MODULE = ("-m", "airflow.providers.databricks_air")
FILES = 1000
LIMIT_START = 0.5
LIMIT_FILE = 0.003


class Cost(NamedTuple):
    """What a process costs.

    :param wall: seconds on the clock.
    :param cpu: seconds on the processor.
    """

    wall: float
    cpu: float

    def __sub__(self, other: Cost) -> Cost:
        """Return what this costs more."""
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


def cost(*arguments: object) -> Cost:
    """Return the median of three runs of Python with *arguments*, after one that compiles."""
    found = [once(*arguments) for _ in range(4)][1:]
    return Cost(statistics.median(c.wall for c in found), statistics.median(c.cpu for c in found))


def once(*arguments: object) -> Cost:
    """Run Python with *arguments* and return what it costs."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, os.times()
    return Cost(
        wall, after.children_user + after.children_system - before.children_user - before.children_system
    )


def line(what: str, found: Cost, limit: str = "", good: bool = True) -> bool:
    """Print one measurement and return whether its limit holds."""
    print(
        f"{what:<44}{found.wall:>9.4f} s{found.cpu:>9.4f} s  {limit}{'' if good else '  MISSED'}", flush=True
    )
    return good


def main() -> int:
    """Measure, print, and fail when a limit is passed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    print(f"{'measurement':<44}{'clock':>11}{'processor':>11}  limit")
    with tempfile.TemporaryDirectory(prefix="air-benchmark-") as name:
        directory = Path(name)
        os.environ["AIRFLOW_HOME"] = str(directory / "airflow")
        (directory / "src").mkdir()
        (directory / "configs").mkdir()
        files = [directory / f"{number}.yaml" for number in range(count + 1)]
        for file in files:
            file.write_bytes(EXAMPLE.read_bytes())
        start = cost(*ALONE, "validate", files[0])
        every = cost(*ALONE, "validate", *files) - start
        each = Cost(every.wall / count, every.cpu / count)
        airflow = cost("-c", "import airflow")
        module = cost(*MODULE, "validate", files[0])
    good = [
        line("one file, without Airflow", start, f"under {LIMIT_START} s", start.wall < LIMIT_START),
        line("one file, with Airflow", module),
        line("importing Airflow alone, part of that", airflow),
        line(
            f"each of {count:,} more files",
            each,
            f"at most {LIMIT_FILE * 1000:.0f} ms",
            each.wall <= LIMIT_FILE,
        ),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
