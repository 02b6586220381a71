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
"""``orphans``: the runs of this Airflow that nobody follows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import add_output_option, answer, print_data, table
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, within_airflow, workspace

if TYPE_CHECKING:
    from rich.console import Console

    from airflow.providers.databricks_air.lifecycle.end.orphans import Orphan

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--cancel", action="store_true", help="end what is found")
    parser.add_argument(
        "--older-than",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="leave younger runs out (default: %(default)s)",
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """List the runs that are alive and that no task follows, and end them on request.

    :returns: 0 when nothing is left, 1 when something is, or when the workspace does not tell.
    """
    return answer(args, _orphans)


def _orphans(args: argparse.Namespace) -> int:
    if not within_airflow():
        raise CommandError("who follows a run only Airflow knows: add --connection ID", exit_code=2)
    from airflow.providers.databricks_air.lifecycle.end.orphans import DatabaseView, end_orphans, find_orphans

    client = workspace(args)
    found = list(find_orphans(client, DatabaseView(), older_than=args.older_than))
    if args.cancel:
        end_orphans(client, found)
    print_data(
        args,
        {"orphans": [_row(orphan) for orphan in found], "cancelled": args.cancel},
        lambda to: _show(to, found, is_cancelled=args.cancel),
    )
    return int(bool(found) and not args.cancel)


def _row(orphan: Orphan) -> dict[str, Any]:
    return {
        "run_id": str(orphan.run.run_id),
        "run_name": orphan.run.name,
        "owner": dict(orphan.note),
        "unfollowed": orphan.why,
    }


def _show(to: Console, found: list[Orphan], *, is_cancelled: bool) -> None:
    if found:
        rows = [[str(item.run.run_id), item.run.name, item.task, item.why] for item in found]
        table(to, ["Run ID", "Experiment", "Airflow task", "Why nobody follows it"], rows)
    runs = "1 run" if len(found) == 1 else f"{len(found)} runs"
    to.print(f"{runs} that nobody follows{', asked for their end' if is_cancelled and found else ''}")
