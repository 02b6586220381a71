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
"""``run``: submit a run configuration, and follow the run where that is asked for."""

from __future__ import annotations

import argparse
import contextlib
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.cli.envelope import INTERRUPTED, CommandError
from airflow.providers.databricks_air.cli.output import add_output_option, answer, console, note, print_data
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace

if TYPE_CHECKING:
    from rich.console import Console

    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.launch.upload import Progress
    from airflow.providers.databricks_air.run import RunConfig

__all__ = ["configure", "run"]

# A launch is worth some waiting: seconds in which a request of it may be repeated.
_PATIENCE = 300.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("path", nargs="?", metavar="FILE", help="a run configuration")
    parser.add_argument("-f", "--file", metavar="FILE", help="the same")
    parser.add_argument(
        "--override",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="replace values first, such as compute.num_accelerators=16; repeatable",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check the file and the code, offline; submit nothing"
    )
    parser.add_argument("--watch", action="store_true", help="stay until the run's end and print its log")
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="repeated with the same key, it is the same run (at most 64 characters)",
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Submit the run; return 1 when it is refused or, with ``--watch``, does not succeed."""
    return answer(args, _run)


def _run(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.run import load_run_config

    config = load_run_config(Path(_file(args)), overrides=args.override, check_code=args.dry_run)
    if args.dry_run:
        print_data(args, {"status": "DRY_RUN_OK", "dry_run": True}, lambda to: to.print(_dry(args, config)))
        return 0
    client = workspace(args, _PATIENCE)
    token = args.idempotency_key or config.idempotency_token or str(uuid.uuid4())
    try:
        number = _submit(client, config, token)
    except KeyboardInterrupt:
        note(f"Interrupted. If a run was submitted already, this finds it: --idempotency-key {token}")
        return INTERRUPTED
    return _tell(args, client, number)


def _file(args: argparse.Namespace) -> str:
    """Return the file to run; one that follows the overrides was taken for one of them."""
    stray = [text for text in args.override if "=" not in text]
    if not args.file and not args.path and len(stray) == 1:
        args.override.remove(stray[0])
        args.path = stray[0]
    if bool(args.file) == bool(args.path):
        raise CommandError(
            "run takes one FILE: the path of a run configuration, such as -f train.yaml", exit_code=2
        )
    return str(args.file or args.path)


def _dry(args: argparse.Namespace, config: RunConfig) -> str:
    compute = config.compute
    what = f"{compute.num_accelerators} accelerators of {compute.accelerator_type}"
    return f"{args.file or args.path}: ok ({what}); nothing was submitted"


def _submit(client: SyncClient, config: RunConfig, token: str) -> int:
    from airflow.providers.databricks_air.api.launch.launch import send_files, submit

    # Airflow 2 logs to the standard output, where nothing but the result belongs.
    with contextlib.redirect_stdout(sys.stderr):
        with _progress(config) as progress:
            ready = send_files(client, config, token=token, progress=progress)
        return submit(client, ready)


@contextlib.contextmanager
def _progress(config: RunConfig) -> Iterator[Progress]:
    """Show how far the code is, where a person looks at a terminal."""
    from airflow.providers.databricks_air.api.launch.upload import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich import progress

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    )
    with progress.Progress(*columns, console=console(to_stderr=True), transient=True) as bar:
        task = bar.add_task(f"Launching {config.experiment_name}", total=None)

        def show(doing: str, done: int, total: int) -> None:
            bar.update(task, description=f"{doing} the code", completed=done, total=total or None)

        yield show


def _tell(args: argparse.Namespace, client: SyncClient, number: int) -> int:
    from airflow.providers.databricks_air.api.runs.description import dashboard_url

    url = dashboard_url(client.credentials.host, number)
    if not args.watch:
        data = {"status": "PENDING", "run_id": str(number), "dashboard_url": url}
        print_data(args, data, lambda to: _show(to, number, url))
        return 0
    from airflow.providers.databricks_air.cli.follow import follow, print_event
    from airflow.providers.databricks_air.cli.log_view import LogView

    if args.output == "json":
        print_event("SUBMITTED", run_id=str(number), dashboard_url=url)
    else:
        note(f"Submitted run {number}: {url}")
    return follow(args, client, number, LogView(attempt=0), says_end=True)


def _show(to: Console, number: int, url: str) -> None:
    to.print(f"Submitted run {number}", soft_wrap=True)
    to.print(f"View it at {url}", soft_wrap=True)
