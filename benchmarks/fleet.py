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
import time
from collections.abc import Iterable
from pathlib import Path

from fleet_parts.crowds import CROWDS, measure
from fleet_parts.table import Row, table

TABLE = Path(__file__).resolve().parent.parent / "docs" / "many-runs-table.rst"


KINDS = (*CROWDS, "nodes", "launch")


def main() -> int:
    """Measure what is asked for; return 1 when a bar is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(KINDS)}; all of them when none is named")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.rows or KINDS:
        began = time.monotonic()
        for row in measured(name):
            print(" | ".join(row.cells()), flush=True)
            rows.append(row)
        print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    note = f"The load of the machine was {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores."
    text = f"{table(rows)}\n{note}\n"
    print(text)
    if not options.rows:
        TABLE.write_text(text)
    return int(any(row.verdict == "missed" for row in rows))


def measured(name: str) -> Iterable[Row]:
    """Measure and give the rows of one kind."""
    if name in CROWDS:
        return measure(CROWDS[name])
    if name == "nodes":
        from fleet_parts.nodes import many_nodes

        return many_nodes()
    from launch import rows

    return rows()


if __name__ == "__main__":
    sys.exit(main())
