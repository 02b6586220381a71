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
"""The command ``airflow-databricks-air``: imports Airflow only where it is asked for one of its connections."""

from __future__ import annotations

import sys
from importlib import import_module

from airflow_provider_databricks_air.namespace import leave_airflow_out

__all__ = ["main"]

_CONNECTION = ("--connection", "--conn-id")


def main() -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:]
    # Only Airflow knows its connections.
    if not any(argument.split("=")[0] in _CONNECTION for argument in arguments):
        leave_airflow_out()
    parser = import_module("airflow.providers.databricks_air.cli.parser")
    return int(parser.main(arguments, prog="airflow-databricks-air"))


if __name__ == "__main__":
    sys.exit(main())
