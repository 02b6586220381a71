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
"""``logs``: the lines of a run, by node and attempt."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import add_output_option, answer, note, print_data
from airflow.providers.databricks_air.cli.run_ids import run_id
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.logs.stream import LogNodes
    from airflow.providers.databricks_air.cli.log_view import LogView
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["configure", "run"]

_LINES = 10_000
_AT_ONCE = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run_id", metavar="JOB_RUN_ID", help="id of the run")
    parser.add_argument("--node", default=None, metavar="N", help="rank of the node (default: 0), or all")
    parser.add_argument(
        "--retry", type=int, default=-1, metavar="N", help="the attempt, counted from 0 (default: the latest)"
    )
    parser.add_argument(
        "--lines",
        "--tail",
        type=int,
        default=None,
        metavar="N",
        help=f"of what is there already only the last lines (default: {_LINES:,})",
    )
    parser.add_argument("--minutes", type=int, default=0, metavar="N", help="only lines of the last minutes")
    parser.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="stay while the run is not over (default)",
    )
    parser.add_argument(
        "--download-to", type=Path, metavar="DIR", help="write everything to DIR/logs/node_<N>.log"
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print or download the lines; return 1 when the run did not succeed, or cannot be seen."""
    return answer(args, _logs)


def _logs(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.api.http import calls
    from airflow.providers.databricks_air.cli import follow
    from airflow.providers.databricks_air.cli.log_view import read_log

    number = run_id(args.run_id)
    _check(args)
    client = workspace(args)
    seen = client.perform(calls.get_run(number))
    view = _view(args, seen)
    if args.download_to:
        return _download(args, client, seen, view)
    is_over = seen.is_terminal or view.ended(seen).attempts != view.of(seen).attempts
    if not is_over and args.follow:
        return follow.follow(args, client, number, view, says_end=False)
    for line in read_log(client, seen, view) if is_over else _so_far(client, seen, view):
        follow.print_lines(args, [line])
    return follow.outcome_code(seen) if seen.is_terminal else 0


def _so_far(client: SyncClient, seen: Run, view: LogView) -> Any:
    """Return what is there already of a run that goes on."""
    from airflow.providers.databricks_air.cli.log_view import ViewedStream, perform_all

    stream = ViewedStream(seen.run_id, view)
    lines = perform_all(client, stream.poll(seen))
    while not stream.next_delay and not stream.drained:
        lines += perform_all(client, stream.poll(seen))
    return lines


def _check(args: argparse.Namespace) -> None:
    for name, value, least in (
        ("lines", args.lines, 1),
        ("minutes", args.minutes, 0),
        ("retry", args.retry, -1),
    ):
        if value is not None and value < least:
            raise CommandError(f"--{name}: {value} is not at least {least}", exit_code=2)


def _view(args: argparse.Namespace, seen: Run) -> LogView:
    """Return what the arguments ask for.

    :raises CommandError: when the run has no such node or attempt.
    """
    from airflow.providers.databricks_air.cli.log_view import LogView

    newest = seen.latest.number if seen.latest else 0
    if args.retry > newest:
        raise CommandError(
            f"--retry: run {seen.run_id} has no retry {args.retry}; available retries are 0 to {newest}"
        )
    lines = None if args.download_to else (args.lines or (None if args.minutes else _LINES))
    return LogView(
        nodes=_nodes(args, seen),
        attempt=args.retry if args.retry >= 0 else None,
        lines=lines,
        since=time.time() - 60 * args.minutes if args.minutes else 0.0,
    )


def _nodes(args: argparse.Namespace, seen: Run) -> LogNodes:
    chosen = args.node if args.node is not None else ("all" if args.download_to else "0")
    if chosen == "all":
        return "all"
    if not (chosen.isascii() and chosen.isdigit()) or int(chosen) >= seen.nodes:
        raise CommandError(
            f"--node: {chosen!r} is not one of the run's nodes; they are 0 to {seen.nodes - 1}, or all"
        )
    return (int(chosen),)


def _download(args: argparse.Namespace, client: SyncClient, seen: Run, view: LogView) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from airflow.providers.databricks_air.cli.follow import outcome_code

    nodes = range(seen.nodes) if view.nodes == "all" else view.nodes
    folder = args.download_to / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            counts = list(pool.map(partial(_write, client, seen, view, folder), nodes))
    except OSError as error:
        raise CommandError(f"--download-to {args.download_to}: {error.strerror or error}") from None
    files = [
        {"node": node, "path": str(folder / f"node_{node}.log"), "lines": count}
        for node, count in zip(nodes, counts, strict=True)
    ]
    print_data(args, {"run_id": str(seen.run_id), "files": files})
    if args.output == "text":
        for file in files:
            note(f"{file['path']}: {file['lines']} lines")
    return outcome_code(seen) if seen.is_terminal else 0


def _write(client: SyncClient, seen: Run, view: LogView, folder: Path, node: int) -> int:
    """Write the whole log of one node, under its name only once it is complete; return the number of lines."""
    from dataclasses import replace

    from airflow.providers.databricks_air.cli.log_view import read_log
    from airflow.providers.databricks_air.run.logs.lines import NOTICE

    of_node = replace(view, nodes=(node,))
    lines = read_log(client, seen, of_node) if seen.is_terminal else _so_far(client, seen, of_node)
    path, count = folder / f"node_{node}.log", 0
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for line in lines:
            if line.node != NOTICE:
                file.write(f"{line.text}\n")
                count += 1
    part.replace(path)
    return count
