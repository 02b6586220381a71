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
"""``python -m databricks_air_local.parity``: record a workspace; compare a recording with the local AI Runtime."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from databricks_air_local.parity.agreement import compare
from databricks_air_local.parity.recording import Asker, record
from databricks_air_local.runtime import LocalAirRuntime

__all__ = ["main"]

PUBLIC = Path(__file__).with_name("public.json")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m databricks_air_local.parity", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record", help="ask the workspace of DATABRICKS_HOST with DATABRICKS_TOKEN")
    recording.add_argument("file", type=Path)
    recording.add_argument(
        "--with-run", action="store_true", help="submit a run on one A10, which costs money"
    )
    replaying = verbs.add_parser("replay", help="say how far the local AI Runtime agrees with a recording")
    replaying.add_argument("file", type=Path, nargs="?", default=PUBLIC, help="default: what is public")
    args = parser.parse_args(arguments)
    return _record(args.file, args.with_run) if args.verb == "record" else _replay(args.file)


def _record(file: Path, with_run: bool) -> int:
    host, token = (os.environ.get(name, "") for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"))
    if not host.startswith(("http://", "https://")) or not token:
        sys.stderr.write("error: set DATABRICKS_HOST (with https://) and DATABRICKS_TOKEN\n")
        return 2
    answers = record(Asker(host.rstrip("/"), token), with_run=with_run)
    file.write_text(json.dumps({"source": "a workspace", "answers": answers}, indent=2) + "\n")
    sys.stdout.write(f"{len(answers)} answers in {file}: read it before you give it away\n")
    return 0


def _replay(file: Path) -> int:
    try:
        document: dict[str, Any] = json.loads(file.read_text())
        theirs = document["answers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"error: {file} is no recording: {error}\n")
        return 2
    # A workspace has some of each: their fields can be compared.
    there: dict[str, Any] = {"policies": {"some": "some"}, "pools": {"some": "GPU_8xH100:16"}}
    with LocalAirRuntime(**there) as air:
        ours = record(Asker(air.url, air.token), with_run=True)
    agreement = compare(theirs, ours)
    source = document.get("source", "a workspace")
    sys.stdout.write(
        "".join(f"{line}\n" for line in (*agreement.differences, f"{source}: {agreement.words}"))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
