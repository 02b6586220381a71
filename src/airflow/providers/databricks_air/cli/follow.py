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
"""Follows a run in front of somebody: its lines on the standard output, its state beside them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.watch.events import Ended, Lines, Said
from airflow.providers.databricks_air.api.watch.watch import WatchPlan, watch
from airflow.providers.databricks_air.cli.envelope import DONE, FAILED, INTERRUPTED, CommandError, now
from airflow.providers.databricks_air.cli.log_view import LogView, ViewedStream
from airflow.providers.databricks_air.cli.output import note, print_data
from airflow.providers.databricks_air.run.logs.lines import NOTICE, LogLine
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["follow", "outcome_code", "print_event", "print_lines"]

T = TypeVar("T")

_POLL = 2.0


def follow(
    args: argparse.Namespace, client: SyncClient, run_id: int, view: LogView, *, says_end: bool
) -> int:
    """Print lines and changes until the run's end; return 0 when it succeeded.

    Ctrl-C asks once whether to cancel the run; it goes on by itself otherwise.

    :param args: the command's arguments, ``output`` among them.
    :param client: the workspace.
    :param run_id: id of the run.
    :param view: which lines.
    :param says_end: whether the last thing printed is the envelope with the final state.
    """
    changes = _Changes()
    seeing = _Seeing(client, changes.tell if args.output == "json" else lambda _: None)
    plan = WatchPlan(run_id, polling_interval=_POLL, patience_missing=0.0, patience_denied=0.0)
    ended = None
    try:
        for event in watch(seeing, plan, stream=ViewedStream(run_id, view)):
            if isinstance(event, Lines):
                print_lines(args, event.lines)
            elif isinstance(event, Ended):
                ended = event
            elif isinstance(event, Said) and (args.output == "text" or event.is_trouble):
                note(event.text)
    except KeyboardInterrupt:
        return _interrupted(args, client, run_id)
    if ended is None or ended.run is None:
        raise CommandError(f"Run {run_id}: {ended.message if ended else 'it cannot be seen'}", "NOT_FOUND")
    if says_end and args.output == "json":
        status = ended.run.state.word if ended.why == "terminal" else "UNKNOWN"
        print_data(args, {"status": status, "run_id": str(run_id)})
    return outcome_code(ended.run)


def outcome_code(run: Run) -> int:
    """Return the exit code for a run that was followed to its end."""
    return DONE if run.is_success else FAILED


def print_lines(args: argparse.Namespace, lines: list[LogLine]) -> None:
    """Print log lines: as they are, or an event for each."""
    for line in lines:
        if args.output == "json":
            kind = "ERROR" if line.node == NOTICE else "LOG"
            print_event(kind, node=max(0, line.node), line=line.text)
        elif line.node == NOTICE:
            note(line.text)
        else:
            print(line.text)
    sys.stdout.flush()


def print_event(kind: str, **fields: Any) -> None:
    """Print one event of a run on a line of its own."""
    print(json.dumps({"type": kind, "ts": now(), **fields}, ensure_ascii=False), flush=True)


class _Changes:
    """Prints an event for each change of a run's state and for each new attempt."""

    def __init__(self) -> None:
        self._status: str | None = None
        self._attempt = 0

    def tell(self, run: Run) -> None:
        """Compare a run with how it was seen last."""
        number = run.latest.number if run.latest else 0
        if number > self._attempt:
            self._attempt = number
            most = {"max_retries": run.max_retries} if run.max_retries >= 0 else {}
            print_event("RETRY", retry=number, **most)
        if run.state.word != self._status:
            previous = {"previous_status": self._status} if self._status else {}
            self._status = run.state.word
            print_event("STATUS", status=self._status, **previous)


class _Seeing(SyncClient):
    """A client that shows each state of a run that passes through it."""

    def __init__(self, client: SyncClient, seen: Callable[[Run], None]) -> None:
        super().__init__(client.credentials)
        self._seen = seen

    def perform(self, call: Call[T]) -> T:
        """Perform a call, and show what is a run."""
        answer = super().perform(call)
        if isinstance(answer, Run):
            self._seen(answer)
        return answer


def _interrupted(args: argparse.Namespace, client: SyncClient, run_id: int) -> int:
    """Ask once what becomes of the run; it is left running where nobody answers."""
    choice = ""
    if args.output == "text" and sys.stdin.isatty() and sys.stderr.isatty():
        try:
            sys.stderr.write(f"\nRun {run_id} is not over. Leave it running, or cancel it? [L/c] ")
            sys.stderr.flush()
            choice = sys.stdin.readline().strip().lower()
        except KeyboardInterrupt:
            sys.stderr.write("\n")
    if choice in {"c", "cancel"}:
        try:
            client.perform(calls.cancel_run(run_id))
        except ApiError as error:
            note(f"Run {run_id} could not be asked to end: {error}")
            return INTERRUPTED
        note(f"Run {run_id}: asked to end")
    else:
        note(f"Run {run_id} goes on. Its log: logs {run_id}   Its end: cancel {run_id}")
    return INTERRUPTED
