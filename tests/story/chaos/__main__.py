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
"""``python -m tests.story.chaos``: the table, on the Airflow that is installed beside it."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import tempfile
from pathlib import Path

from tests.story.airflow_cluster import missing_for_celery
from tests.story.chaos.causes import EXECUTORS, MODES, Cause
from tests.story.chaos.records import Document, describe
from tests.story.chaos.rows import CAUSES, GROUPS, cause
from tests.story.chaos.runner import LEG, Ground, Planned, chaos


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.story.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of all that is random")
    parser.add_argument("--slots", type=int, default=4, help="trials side by side (default: %(default)s)")
    parser.add_argument("--trials", type=int, help="in each cell, instead of the table's own number")
    parser.add_argument(
        "--seams", type=int, help="the same in the cells that the table has more of than of others"
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after which no trial is begun any more"
    )
    parser.add_argument("--cause", action="append", help="only this one; repeatable")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only this one; repeatable")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this one")
    parser.add_argument("--executor", choices=EXECUTORS, default=EXECUTORS[0])
    parser.add_argument("--schedulers", type=int, default=1)
    parser.add_argument("--triggerers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--stock", action="store_true", help="the stock Databricks operator instead")
    parser.add_argument("--package", type=Path, help="the sources of another checkout: its directory src")
    parser.add_argument("--keep", type=Path, help="a directory that does not exist, for all logs and states")
    parser.add_argument("--records", type=Path, help="where the records go, as JSON, as they come")
    return parser


def _number(row: Cause, args: argparse.Namespace) -> int:
    given = args.seams if args.seams and row.is_seam else args.trials
    return int(given or row.trials)


def _plan(args: argparse.Namespace) -> list[Planned]:
    rows = [cause(key) for key in args.cause or ()] or list(CAUSES)
    return [
        Planned(row, mode, tuple(range(_number(row, args))), args.stock)
        for row in rows
        for mode in row.modes
        if mode in (args.mode or MODES)
        and row.group in (args.group or GROUPS)
        and args.executor in row.executors
    ]


def main() -> int:
    """Run the trials, write their records, and return 1 if anything went wrong."""
    args = _parser().parse_args()
    if args.executor == "CeleryExecutor" and missing_for_celery():
        print(f"CeleryExecutor is not tried: {missing_for_celery()} is missing", flush=True)  # noqa: T201
        return 0
    plan = _plan(args)
    print(f"Airflow {LEG}, seed {args.seed}, {sum(len(p.numbers) for p in plan)} trials", flush=True)  # noqa: T201
    document = Document(describe(args.seed, args.executor, args.package), args.records)
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        directory = args.keep or Path(temporary)
        directory.mkdir(exist_ok=True)
        ground = Ground(
            directory,
            args.slots,
            executor=args.executor,
            schedulers=args.schedulers,
            triggerers=args.triggerers,
            stock=args.stock,
            package=args.package,
        )
        with chaos(ground, args.seed) as arena:
            for record in arena.run(plan, 60 * args.minutes):
                document.add(record)
    print(document.summary(), flush=True)  # noqa: T201
    return 1 if document.is_broken and not args.stock else 0


if __name__ == "__main__":
    sys.exit(main())
