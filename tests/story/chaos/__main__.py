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
"""``python -m tests.story.chaos``: the whole table, on the Airflow that is installed beside it."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

from tests.story.chaos.causes import CAUSES, MODES, cause
from tests.story.chaos.runner import LEG, Planned, chaos


def main() -> int:
    """Run the trials, write their records, and return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.story.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of all that is random")
    parser.add_argument("--slots", type=int, default=8, help="trials side by side (default: %(default)s)")
    parser.add_argument("--trials", type=int, help="in each cell, instead of the table's own number")
    parser.add_argument("--cause", action="append", help="only this one; repeatable")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this one")
    parser.add_argument("--stock", action="store_true", help="the stock Databricks operator instead")
    parser.add_argument("--keep", type=Path, help="a directory that does not exist, for all logs and states")
    parser.add_argument("--records", type=Path, help="where the records go, as JSON")
    args = parser.parse_args()
    rows = [cause(key) for key in args.cause or ()] or list(CAUSES)
    plan = [
        Planned(row, mode, tuple(range(args.trials or row.trials)), args.stock)
        for row in rows
        for mode in row.modes
        if mode in (args.mode or MODES)
    ]
    print(f"Airflow {LEG}, seed {args.seed}, {sum(len(p.numbers) for p in plan)} trials", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        directory = args.keep or Path(temporary)
        directory.mkdir(exist_ok=True)
        with chaos(directory, args.seed, args.slots, stock=args.stock) as arena:
            records = arena.run(plan)
    if args.records:
        args.records.parent.mkdir(parents=True, exist_ok=True)
        args.records.write_text(json.dumps({"leg": LEG, "seed": args.seed, "records": records}, indent=1))
    bad = [r for r in records if r["duplicates"] or r["orphans"] or r["wrong"]]
    for record in bad:
        print(json.dumps(record), flush=True)  # noqa: T201
    return 1 if bad and not args.stock else 0


if __name__ == "__main__":
    sys.exit(main())
