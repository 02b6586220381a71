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
"""Where the output of a command goes: data on the standard output, everything else on standard error."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import data_line, error_line, problem_of
from airflow.providers.databricks_air.run.errors import AirError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["add_output_option", "answer", "console", "link", "note", "print_data", "state", "table"]

_WIDE = 200
_STYLES = {
    "SUCCESS": "green",
    "RUNNING": "cyan",
    "PENDING": "yellow",
    "CANCELED": "dim",
    "FAILED": "red",
    "TIMEDOUT": "red",
    "INTERNAL_ERROR": "red",
}


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add ``-o text|json``."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="text for people (default), or JSON envelopes, one a line",
    )


def answer(args: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    """Do the work of a command and return its exit code; what goes wrong is told in the chosen form.

    :param args: the command's arguments, ``output`` among them.
    :param work: returns the exit code.
    """
    try:
        return work(args)
    except AirError as error:
        problem = problem_of(error)
        if args.output == "json":
            print(error_line(problem), flush=True)
        else:
            print(f"Error: {problem.message}", file=sys.stderr)
        return problem.exit_code


def print_data(
    args: argparse.Namespace,
    data: Mapping[str, Any],
    show: Callable[[Console], None] | None = None,
    *,
    plain: Callable[[], None] | None = None,
) -> None:
    """Print the result of a command.

    :param args: the command's arguments.
    :param data: the result as plain JSON values.
    :param show: prints the same for people; nothing when None.
    :param plain: does it instead, without the library of tables and colours, which takes a while to load.
    """
    if args.output == "json":
        print(data_line(data), flush=True)
    elif plain is not None:
        plain()
    elif show is not None:
        show(console())


def note(text: str) -> None:
    """Say something that is not part of the result.

    :param text: one or several lines.
    """
    print(text, file=sys.stderr, flush=True)


def console(*, to_stderr: bool = False) -> Console:
    """Return where people read: colours and links on a terminal without ``NO_COLOR``, plain wide text elsewhere.

    :param to_stderr: whether it is standard error instead of the standard output.
    """
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else shutil.get_terminal_size((_WIDE, 24)).columns,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def table(to: Console, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print rows under their columns; what does not fit a terminal is folded, never cut.

    :param to: where.
    :param columns: the headings; those that are empty leave the line of headings out.
    :param rows: cells: text, or what the console's library shows.
    """
    from rich.table import Table

    headings = list(columns)
    shown = Table(box=None, pad_edge=False, show_header=any(headings), header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    to.print(shown)


def link(to: Console, text: str, url: str | None) -> Any:
    """Return text that leads to an address where a terminal can; the address itself elsewhere.

    :param to: where it will be printed.
    :param text: what is seen on a terminal.
    :param url: the address; None for none.
    """
    from rich.text import Text

    if not url:
        return Text(text)
    return Text(text, style=f"link {url}") if to.is_terminal else Text(url)


def state(word: str) -> Any:
    """Return the word of a state in its colour."""
    from rich.text import Text

    return Text(word, style=_STYLES.get(word, ""))
