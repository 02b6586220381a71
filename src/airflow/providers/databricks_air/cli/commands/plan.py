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
"""``plan``: what a launch would upload and submit."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.cli.output import add_output_option, answer, print_data
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, credentials

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.launch.plan import Plan

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", help="a run configuration")
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value first, such as compute.num_accelerators=16; repeatable",
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plan; return 1 when the configuration, the code or the workspace does not allow one.

    Token and launch directory are those of the Airflow task; here an example stands for them, unless the
    configuration has a token of its own.
    """
    return answer(args, _print)


def _print(args: argparse.Namespace) -> int:
    # Airflow 2 logs to the standard output, where nothing but the plan belongs.
    with contextlib.redirect_stdout(sys.stderr):
        found = _plan(args)
    print_data(args, asdict(found), plain=lambda: print(found.to_text()))
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN, plan, planning_client
    from airflow.providers.databricks_air.run import load_run_config

    config = load_run_config(Path(args.file), overrides=args.override)
    client = planning_client(credentials(args))
    return plan(client, config, token=config.idempotency_token or EXAMPLE_TOKEN)
