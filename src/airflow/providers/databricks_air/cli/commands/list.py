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
"""``list``: runs, newest first."""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import (
    add_output_option,
    answer,
    note,
    print_data,
    state,
    table,
)
from airflow.providers.databricks_air.cli.run_ids import run_id
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, within_airflow, workspace
from airflow.providers.databricks_air.cli.times import length, moment

if TYPE_CHECKING:
    from rich.console import Console

    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.runs.fields import RunFields
    from airflow.providers.databricks_air.api.runs.listing import Listing, RunFilter

__all__ = ["configure", "run"]

_LIMIT = 20
_KEYS = ("accelerator_type", "age", "experiment", "num_accelerators", "status", "user")
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "what", nargs="?", choices=("runs",), default="runs", help="'list runs' is the same as 'list'"
    )
    parser.add_argument("--limit", type=int, default=_LIMIT, help="how many at most (default: %(default)s)")
    parser.add_argument("--before", metavar="JOB_RUN_ID", help="the page behind that run")
    parser.add_argument("--active", action="store_true", help="only runs that are not over (default)")
    parser.add_argument("--all-status", action="store_true", help="ended ones too")
    parser.add_argument("--all-users", action="store_true", help="everybody's runs; can be slow")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="repeatable; keys: accelerator_type (part of it), age (such as 90m, 12h, 7d), experiment (a glob "
        "such as 'qwen*'), num_accelerators, status, user",
    )
    parser.add_argument(
        "--airflow",
        action="store_true",
        help="show the task that asked for each run, and mark the runs that nobody follows",
    )
    parser.add_argument("-q", "--no-interactive", action="store_true", help=argparse.SUPPRESS)
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the runs; return 1 when the workspace does not tell."""
    return answer(args, _list)


def _list(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.api.runs.listing import SCAN_LIMIT, list_runs

    if args.limit < 1:
        raise CommandError(f"--limit: {args.limit} is not at least 1", exit_code=2)
    if args.active and args.all_status:
        raise CommandError("--active and --all-status exclude each other: keep one", exit_code=2)
    wanted = _wanted(args)
    client = workspace(args)
    found = client.run(list_runs(client.calls, wanted, args.limit))
    now = round(time.time() * 1000)
    data = {"runs": [_row(fields, now) for fields in found.runs]}
    asked = _asked(client, found, now) if args.airflow else None
    for row, fields in zip(data["runs"], asked or (), strict=False):
        row.update(fields)
    print_data(args, data, lambda to: _show(to, found, now, asked))
    if asked and not within_airflow():
        note("Whether a task follows them only Airflow knows: airflow databricks-air list --airflow")
    if found.is_cut:
        note(f"The newest {SCAN_LIMIT} runs of the workspace were looked through; older ones were not")
    if found.has_more:
        note(f"There are more: add --before {found.runs[-1].run.run_id}")
    return 0


def _wanted(args: argparse.Namespace) -> RunFilter:
    from airflow.providers.databricks_air.api.runs.listing import RunFilter

    values = dict(_pair(text) for text in args.filter)
    count = values.get("num_accelerators", "0")
    if not (count.isascii() and count.isdigit()):
        raise CommandError(f"--filter num_accelerators: {count!r} is not a whole number", exit_code=2)
    # A state that only ended runs have is asked for among all.
    active_only = not args.all_status and (args.active or "status" not in values)
    return replace(
        RunFilter(active_only=active_only, user="" if args.all_users else values.get("user")),
        status=values.get("status", ""),
        experiment=values.get("experiment", ""),
        accelerator_type=values.get("accelerator_type", ""),
        num_accelerators=int(count),
        since=_since(values["age"]) if "age" in values else 0,
        before=run_id(args.before) if args.before else 0,
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if key not in _KEYS or not equals or not value:
        raise CommandError(
            f"--filter {text!r}: must read KEY=VALUE with a KEY of {', '.join(_KEYS)}", exit_code=2
        )
    return key, value


def _since(age: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", age, re.ASCII)
    if not match:
        raise CommandError(
            f"--filter age: {age!r} is not a length of time such as 90m, 12h or 7d", exit_code=2
        )
    return round((time.time() - int(match.group(1)) * _UNITS[match.group(2)]) * 1000)


def _row(fields: RunFields, now: int) -> dict[str, Any]:
    """Return one run as plain JSON values; the first six are those of ``databricks air list``."""
    from airflow.providers.databricks_air.api.runs.fields import iso_time, whole_seconds

    start, end = fields.times
    return {
        "run_id": str(fields.run.run_id),
        "run_name": fields.run.name,
        "user": fields.user or None,
        "status": fields.run.state.word,
        "started_at": iso_time(start),
        "is_sweep": fields.sweep is not None,
        "duration_seconds": whole_seconds(start, end, now),
        "attempt_number": fields.run.latest.number if fields.run.latest else 0,
        "accelerator_type": fields.accelerator_type or None,
        "num_accelerators": fields.num_accelerators or None,
    }


def _asked(client: SyncClient, found: Listing, now: int) -> list[dict[str, Any]]:
    """Return for each run the note of the Airflow task that asked for it, and why nobody follows the run."""
    from airflow.providers.databricks_air.api.http.together import together
    from airflow.providers.databricks_air.api.runs.owner import read_owner

    questions = [partial(read_owner, client.calls, fields.launch_directory) for fields in found.runs]
    owners: list[dict[str, Any] | None] = client.run(together(questions))
    pairs = zip(found.runs, owners, strict=True)
    return [{"owner": owner, "unfollowed": _unfollowed(fields, owner, now)} for fields, owner in pairs]


def _unfollowed(fields: RunFields, owner: dict[str, Any] | None, now: int) -> str | None:
    """Return why nobody follows a live run; None where somebody does, or this process cannot know."""
    if owner is None or fields.run.is_terminal or not within_airflow():
        return None
    from airflow.providers.databricks_air.lifecycle.end.orphans import YOUNG, DatabaseView, why_unfollowed

    start = fields.times[0]
    if start and now - start < YOUNG * 1000:
        return None
    return why_unfollowed(fields.run.run_id, owner, DatabaseView()) or None


def _show(to: Console, found: Listing, now: int, asked: list[dict[str, Any]] | None) -> None:
    from airflow.providers.databricks_air.api.runs.fields import whole_seconds
    from airflow.providers.databricks_air.api.runs.owner import task_of

    if not found.runs:
        to.print("No runs.")
        return
    rows = [
        [
            str(fields.run.run_id),
            fields.experiment_name or "N/A",
            state(fields.run.phase),
            moment(fields.times[0]),
            length(whole_seconds(*fields.times, now), is_running=not fields.run.is_terminal),
            fields.accelerators or "N/A",
            fields.user or "N/A",
        ]
        for fields in found.runs
    ]
    columns = ["Run ID", "Experiment", "Status", "Started", "Duration", "Accelerators", "User"]
    if asked is not None:
        columns.append("Airflow task")
        for row, fields in zip(rows, asked, strict=True):
            mark = f" (nobody follows it: {fields['unfollowed']})" if fields["unfollowed"] else ""
            row.append((task_of(fields["owner"]) or "none") + mark)
    table(to, columns, rows)
