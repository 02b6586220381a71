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
"""The table of commands and the parser made from it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import NamedTuple, NoReturn

from airflow.providers.databricks_air.cli.envelope import INTERRUPTED, USAGE, Problem, error_line

__all__ = ["COMMANDS", "Command", "build_parser", "main", "perform"]

_PACKAGE = "airflow.providers.databricks_air"

Run = Callable[[argparse.Namespace], int]
"""Runs a command with its arguments and returns the exit code."""


class Command(NamedTuple):
    """A command: its one-line help and the module with ``configure(parser)`` and ``run(args) -> int``."""

    help: str
    module: str


COMMANDS: dict[str, Command] = {
    "validate": Command("Check run configurations, offline", f"{_PACKAGE}.cli.commands.validate"),
    "explain": Command(
        "Tell what a field of the run configuration means", f"{_PACKAGE}.cli.commands.explain"
    ),
    "schema": Command("Print the JSON Schema of the run configuration", f"{_PACKAGE}.cli.commands.schema"),
    "convert": Command(
        "Rewrite an older run configuration, or a MosaicML run, in today's form",
        f"{_PACKAGE}.cli.commands.convert",
    ),
    "plan": Command("Show what a launch would upload and submit", f"{_PACKAGE}.cli.commands.plan"),
    "run": Command("Submit a run configuration", f"{_PACKAGE}.cli.commands.run"),
    "get": Command("Show a run: state, attempts, links, configuration", f"{_PACKAGE}.cli.commands.get"),
    "list": Command("List runs, newest first", f"{_PACKAGE}.cli.commands.list"),
    "logs": Command("Print or download the log of a run", f"{_PACKAGE}.cli.commands.logs"),
    "cancel": Command("End runs", f"{_PACKAGE}.cli.commands.cancel"),
    "orphans": Command(
        "List, or end, the runs that no task follows any more", f"{_PACKAGE}.cli.commands.orphans"
    ),
    "register-image": Command("Register a Docker image for runs", f"{_PACKAGE}.cli.commands.register_image"),
    "local": Command("Start the local AI Runtime on this machine", f"{_PACKAGE}.cli.commands.local"),
}


def build_parser(prog: str = f"python -m {_PACKAGE}", only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    :param prog: how the user called it, for the usage line.
    :param only: the command that will run, whose module alone is loaded; every command when None.
    """
    parser = _Parser(prog=prog, description="Databricks AI Runtime for Airflow.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        if only in (None, name):
            module = import_module(command.module)
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


class _Parser(argparse.ArgumentParser):
    """Tells machines what is wrong with the arguments in the envelope that they asked for."""

    wants_json = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2."""
        if _Parser.wants_json:
            print(error_line(Problem("INVALID_ARGS", "PERMANENT", message)), flush=True)
            sys.exit(USAGE)
        super().error(message)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether JSON is asked for in arguments that need not be right."""
    pairs = {" ".join(pair) for pair in pairwise(arguments)}
    return bool({"-ojson", "--output=json"} & set(arguments) or {"-o json", "--output json"} & pairs)


def main(argv: Sequence[str] | None = None, prog: str = f"python -m {_PACKAGE}") -> int:
    """Run one command and return its exit code: 0 done, 1 errors found, 2 wrong usage.

    :param argv: the command and its arguments; those of this process when None.
    :param prog: how the user called it, for the usage line.
    """
    arguments = sys.argv[1:] if argv is None else argv
    only = arguments[0] if arguments and arguments[0] in COMMANDS else None
    _Parser.wants_json = _wants_json(arguments)
    args = build_parser(prog, only).parse_args(arguments)
    return perform(args.run, args)


def perform(run: Run, args: argparse.Namespace) -> int:
    """Run one command on whatever its output goes to, and return its exit code.

    :param run: of the command's module.
    :param args: its arguments.
    """
    for stream in (sys.stdout, sys.stderr):
        # What the terminal cannot show, or a file name holds that is no text, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = int(run(args))
        # What is still in the buffer meets a closed pipe here rather than at the interpreter's exit.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`… | head`) has seen enough; Python must not complain about it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
