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
"""``orphans``: the runs of this Airflow that nobody follows."""

from __future__ import annotations

import argparse
import sys

from airflow.providers.databricks_air.run.errors import AirError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--conn-id", default="databricks_air_default", help="the Airflow connection to the workspace"
    )
    parser.add_argument("--cancel", action="store_true", help="end what is found")
    parser.add_argument(
        "--older-than",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="leave younger runs out (default 120)",
    )


def run(args: argparse.Namespace) -> int:
    """List the runs that are alive and that no task follows, and end them on request.

    :returns: 0 when nothing is left, 1 when something is, or when the workspace does not tell.
    """
    from airflow.providers.databricks_air.exceptions import AirConfigError
    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
    from airflow.providers.databricks_air.lifecycle.end.orphans import DatabaseView, end_orphans, find_orphans

    try:
        client = AirRuntimeHook(args.conn_id).client
        found = list(find_orphans(client, DatabaseView(), older_than=args.older_than))
        for orphan in found:
            print(f"{orphan.run.run_id}\t{orphan.run.name}\t{orphan.task}\t{orphan.why}")
        if args.cancel:
            end_orphans(client, found)
    except (AirError, AirConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(found)} runs that nobody follows{', asked for their end' if args.cancel else ''}")
    return int(bool(found) and not args.cancel)
