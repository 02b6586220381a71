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
"""``plan``: what a launch would upload and submit."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
    parser.add_argument(
        "--connection",
        default="databricks_air_default",
        metavar="ID",
        help="the Airflow connection to the workspace (default: %(default)s)",
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how to print the plan")


def run(args: argparse.Namespace) -> int:
    """Print the plan; return 1 when the configuration, the code or the workspace does not allow one.

    Token and launch directory are those of the Airflow task; here an example stands for them, unless the
    configuration has a token of its own.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow.providers.databricks_air.exceptions import AirConfigError
    from airflow.providers.databricks_air.run.errors import AirError

    try:
        # Airflow 2 logs to the standard output, where nothing but the plan belongs.
        with contextlib.redirect_stdout(sys.stderr):
            found = _plan(args)
    except (AirError, AirConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    except AirflowNotFoundException:
        variable = f"AIRFLOW_CONN_{args.connection.upper()}"
        print(f"Airflow has no connection {args.connection!r}. Make it, or set {variable}", file=sys.stderr)
        return 1
    print(found.to_json() if args.output == "json" else found.to_text())
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN, plan, planning_client
    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
    from airflow.providers.databricks_air.run import load_run_config

    config = load_run_config(Path(args.file), overrides=args.override)
    client = planning_client(AirRuntimeHook(args.connection).get_credentials())
    return plan(client, config, token=config.idempotency_token or EXAMPLE_TOKEN)
