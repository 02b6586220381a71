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
"""``validate``: check run configurations, offline."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.errors import FieldError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a run configuration; - is standard input")
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value first, such as compute.num_accelerators=16; repeatable",
    )
    parser.add_argument(
        "--output", choices=("text", "json"), default="text", help="how to print what was found"
    )


def run(args: argparse.Namespace) -> int:
    """Check every file; return 1 when one has mistakes."""
    reports = [_check(name, args.override) for name in args.files]
    if args.output == "json":
        print(json.dumps([_plain(report) for report in reports], indent=2, ensure_ascii=False))
    else:
        for report in reports:
            _print(report)
    return 0 if all(report.config for report in reports) else 1


class _Report:
    """What is known about one file."""

    def __init__(self, file: str, config: RunConfig | None, errors: Sequence[FieldError]) -> None:
        self.file = file
        self.config = config
        self.errors = errors


def _check(name: str, overrides: Sequence[str]) -> _Report:
    from airflow.providers.databricks_air.run import ConfigError, load_run_config

    try:
        if name == "-":
            # One byte over the limit is enough to be refused.
            text: Any = sys.stdin.buffer.read(2**20 + 1)
            config = load_run_config(text, overrides=overrides, check_code=True)
        else:
            config = load_run_config(Path(name), overrides=overrides, check_code=True)
    except ConfigError as error:
        return _Report(name, None, error.errors)
    return _Report(name, config, ())


def _print(report: _Report) -> None:
    if report.config is None:
        count = len(report.errors)
        print(f"{report.file}: {count} error{'s' if count != 1 else ''}")
        for error in report.errors:
            print(f"  {error}")
        return
    compute = report.config.compute
    nodes = report.config.node_count
    print(f"{report.file}: ok ({nodes} node{'s' if nodes != 1 else ''} of {compute.accelerator_type})")
    for old in report.config.deprecations:
        print(f"  {old}", file=sys.stderr)


def _plain(report: _Report) -> dict[str, Any]:
    old = report.config.deprecations if report.config else ()
    return {
        "file": report.file,
        "valid": report.config is not None,
        "errors": [vars(error) for error in report.errors],
        "deprecations": [vars(item) for item in old],
    }
