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
"""``local``: start the local AI Runtime, which is a distribution of its own, where that is installed."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

__all__ = ["configure", "run"]

_SERVER = "databricks_air_local"
_MISSING = "The local AI Runtime is not installed here: pip install 'airflow-provider-databricks-air[local]' brings it."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the server, where it is installed."""
    if find_spec(_SERVER) is not None:
        import_module(f"{_SERVER}.command").configure(parser)
        return
    # Whatever options somebody tries, the answer is that there is no server to give them to.
    parser.prefix_chars = "\0"
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; return 2 for wrong options, or when the server is not installed."""
    if find_spec(_SERVER) is None:
        print(_MISSING, file=sys.stderr)
        return 2
    return int(import_module(f"{_SERVER}.command").run(args))
