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
"""The command line without Airflow's own: ``python -m airflow.providers.databricks_air``.

``python …/airflow/providers/databricks_air``, the path of this package, is the same a second or two sooner:
with ``-m`` Python imports the package ``airflow`` first, and where Airflow is installed that is all of its core.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

_PARTS = ("airflow", "providers", "databricks_air")

#: The one command that asks Airflow for something: for its connections.
_OF_AIRFLOW = "plan"


def _bare_namespace() -> None:
    """Make ``airflow`` and ``airflow.providers`` bare packages that hold this distribution only."""
    root = Path(__file__).resolve().parents[len(_PARTS)]
    for depth in range(1, len(_PARTS)):
        package = ModuleType(".".join(_PARTS[:depth]))
        package.__path__ = [str(root.joinpath(*_PARTS[:depth]))]
        sys.modules[package.__name__] = package


def main() -> int:
    """Run one command and return its exit code."""
    if not __package__:
        # Started by path, the first place to import from is this directory, whose names are not top-level ones.
        del sys.path[0]
        if sys.argv[1:2] != [_OF_AIRFLOW]:
            _bare_namespace()
    parser = importlib.import_module(f"{'.'.join(_PARTS)}.cli.parser")
    return int(parser.main())


if __name__ == "__main__":
    sys.exit(main())
