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
"""``cancel``: end one run, several, or all of one's own."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import add_output_option, answer, note, print_data
from airflow.providers.databricks_air.cli.run_ids import run_id
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace

if TYPE_CHECKING:
    from rich.console import Console

    from airflow.providers.databricks_air.api.http.client import SyncClient

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run_ids", nargs="*", metavar="JOB_RUN_ID", help="ids of the runs")
    parser.add_argument("--all", action="store_true", help="all of your runs that are not over")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before --all")
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the end of runs; return 1 when one of them could not be asked for."""
    return answer(args, _cancel)


def _cancel(args: argparse.Namespace) -> int:
    if bool(args.run_ids) == args.all:
        raise CommandError("name the runs to cancel, or say --all", exit_code=2)
    numbers = list(dict.fromkeys(run_id(text) for text in args.run_ids))
    client = workspace(args)
    if args.all:
        numbers = _own_active(client)
        if numbers and not _confirmed(args, numbers):
            note("Nothing was cancelled")
            return 1
    ends = [_end(client, number) for number in numbers]
    data = _data(ends, all_of_them=args.all)
    print_data(args, data, lambda to: _show(to, data))
    return 1 if data.get("failed") else 0


def _own_active(client: SyncClient) -> list[int]:
    from airflow.providers.databricks_air.api.runs.listing import RunFilter, list_runs

    found = client.run(list_runs(client.calls, RunFilter(), limit=None))
    if found.is_cut:
        raise CommandError(
            "the workspace has more runs than a listing goes through, so --all would miss some: name the runs"
        )
    return [fields.run.run_id for fields in found.runs]


def _confirmed(args: argparse.Namespace, numbers: list[int]) -> bool:
    if args.yes:
        return True
    if args.output == "json" or not sys.stdin.isatty():
        raise CommandError("--all asks first, and nobody is there to answer: add --yes", exit_code=2)
    note(f"{len(numbers)} of your runs are not over: {', '.join(map(str, numbers))}")
    sys.stderr.write("Cancel all of them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _end(client: SyncClient, number: int) -> tuple[str, dict[str, Any]]:
    """Ask for the end of one run; return what became of that."""
    from airflow.providers.databricks_air.api.http import calls
    from airflow.providers.databricks_air.api.http.errors import ApiError

    try:
        seen = client.perform(calls.get_run(number))
        if seen.is_terminal:
            return "already_over", {"run_id": str(number), "status": seen.state.word}
        client.perform(calls.cancel_run(number))
    except ApiError as error:
        return "failed", {"run_id": str(number), "error": error.message}
    return "cancelled", {"run_id": str(number)}


def _data(ends: list[tuple[str, dict[str, Any]]], *, all_of_them: bool) -> dict[str, Any]:
    """Return the result as plain JSON values: as ``databricks air cancel``, with those already over apart."""
    data: dict[str, Any] = {"cancelled": [end["run_id"] for what, end in ends if what == "cancelled"]}
    if all_of_them:
        data["all"] = True
    for name in ("already_over", "failed"):
        if found := [end for what, end in ends if what == name]:
            data[name] = found
    return data


def _show(to: Console, data: dict[str, Any]) -> None:
    say = partial(to.print, soft_wrap=True)
    for number in data["cancelled"]:
        say(f"Run {number}: asked to end")
    for end in data.get("already_over", ()):
        say(f"Run {end['run_id']}: was already over ({end['status']})")
    for end in data.get("failed", ()):
        note(f"Run {end['run_id']}: {end['error']}")
    if not data["cancelled"] and data.get("all"):
        say("None of your runs is active.")
