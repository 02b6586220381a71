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
"""What it costs to follow many runs, to read their logs and to launch them, beside the peers, in one table.

Run ``.venv/stock/bin/python benchmarks/fleet.py``, the interpreter that has ``DatabricksExecutionTrigger``. Both
sides follow the same number of runs at the same time, each in a process and with a server of its own. The table is
printed and written to ``docs/many-runs-table.rst``; only its ratios say something about another machine. Name rows
to measure only those; then nothing is written. The exit code is 1 when a bar is passed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fleet_parts.crowds import CROWDS, measure
from fleet_parts.table import table

TABLE = Path(__file__).resolve().parent.parent / "docs" / "many-runs-table.rst"


def main() -> int:
    """Measure what is asked for; return 1 when a bar is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *CROWDS], help="all of them when none is named")
    options = parser.parse_args()
    rows = [row for name in options.rows or CROWDS for row in measure(CROWDS[name])]
    text = table(rows)
    print(text)
    print(f"The load of the machine was {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.")
    if not options.rows:
        TABLE.write_text(text)
    return int(any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
