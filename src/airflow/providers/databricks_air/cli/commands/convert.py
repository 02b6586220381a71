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
"""``convert``: rewrite an older run configuration, or a MosaicML run, in today's form."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="an older run configuration or a MosaicML (mcli) run"
    )
    parser.epilog = (
        "The result goes to standard output. What has no counterpart is listed on standard error, "
        "and in comments of the result."
    )


def run(args: argparse.Namespace) -> int:
    """Print the file in today's form; return 1 when it cannot be read, or when the result has mistakes."""
    from airflow.providers.databricks_air.run import ConfigError, load_run_config
    from airflow.providers.databricks_air.run.document.reader import has_comments
    from airflow.providers.databricks_air.run.older.conversion import convert_file

    try:
        result = convert_file(args.file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # It becomes a file, whatever the terminal can show.
        sys.stdout.reconfigure(encoding="utf-8")
    print(result.text, end="")
    for note in result.notes:
        what = "is not carried over" if note.lost else "to check"
        file = note.file or args.file
        place = f"{file}:{note.line}" if note.line else str(file)
        print(f"{place}: {note.path}: {what}. {note.advice}", file=sys.stderr)
    if has_comments(args.file.read_bytes()):
        print(f"{args.file}: comments are not carried over", file=sys.stderr)
    try:
        load_run_config(result.text, base_dir=args.file.parent)
    except ConfigError as error:
        print(f"The result needs your hand. {error}", file=sys.stderr)
        return 1
    return 0
