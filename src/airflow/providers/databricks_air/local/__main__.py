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
"""The server alone: ``python …/airflow/providers/databricks_air/local`` starts it without loading Airflow.

``python -m airflow.providers.databricks_air local`` is the same server, a few seconds later: Python imports
the package ``airflow`` first, and where Airflow is installed that is all of its core.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

_PARTS = ("airflow", "providers", "databricks_air")


def _bare_namespace() -> None:
    """Make ``airflow`` and ``airflow.providers`` bare packages that hold this distribution only."""
    root = Path(__file__).resolve().parents[len(_PARTS) + 1]
    sys.path[0] = str(root)
    for depth in range(1, len(_PARTS)):
        package = ModuleType(".".join(_PARTS[:depth]))
        package.__path__ = [str(root.joinpath(*_PARTS[:depth]))]
        sys.modules[package.__name__] = package


def main() -> int:
    """Parse the options, serve, and return the exit status."""
    if not __package__ and "airflow" not in sys.modules:
        _bare_namespace()
    command = importlib.import_module(f"{'.'.join(_PARTS)}.local.command")
    parser = argparse.ArgumentParser(prog="local", description="Start the local AI Runtime on this machine")
    command.configure(parser)
    return int(command.run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
