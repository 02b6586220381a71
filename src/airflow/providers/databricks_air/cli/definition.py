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
"""``airflow databricks-air …``: the same commands in Airflow's own command line (Airflow 3.2 and later).

Airflow calls :func:`get_cli_commands` each time anybody types ``airflow``, so nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

from airflow.providers.databricks_air.cli.parser import COMMANDS, Command, perform

__all__ = ["GROUP", "get_cli_commands"]

#: The name of the group of commands; no other provider has it.
GROUP = "databricks-air"


def get_cli_commands() -> list[GroupCommand]:
    """Return the group of commands for provider metadata (key ``cli``)."""
    subcommands = [_action(name, command) for name, command in COMMANDS.items()]
    return [GroupCommand(name=GROUP, help="Databricks AI Runtime (AIR)", subcommands=subcommands)]


class _Arguments(argparse.ArgumentParser):
    """Writes down the arguments of a command in Airflow's terms."""

    def __init__(self) -> None:
        super().__init__(add_help=False)
        self.written: list[Arg] = []

    def add_argument(self, *flags: Any, **options: Any) -> argparse.Action:
        """Write one argument down."""
        self.written.append(Arg(flags, **options))  # type: ignore[no-untyped-call]  # of Airflow
        return super().add_argument(*flags, **options)


def _action(name: str, command: Command) -> ActionCommand:
    arguments = _Arguments()
    import_module(command.module).configure(arguments)

    def run(args: argparse.Namespace) -> None:
        sys.exit(perform(import_module(command.module).run, args))

    return ActionCommand(
        name=name, help=command.help, func=run, args=tuple(arguments.written), epilog=arguments.epilog
    )
