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
"""``validate``: check run configurations, offline, or with ``--online`` by the workspace too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.output import add_output_option, answer, note, print_data
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.errors import FieldError

__all__ = ["configure", "run"]

#: How many files beside a base are read to see whether one starts from it.
_MOST_BESIDE = 200


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
        "--online",
        action="store_true",
        help="let the workspace check what is right so far; nothing is written",
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check every file; return 1 when one has mistakes."""
    return answer(args, _validate)


def _validate(args: argparse.Namespace) -> int:
    reports = [_check(name, args.override) for name in args.files]
    bases = _Bases(args.files)
    for report in reports:
        report.recognise(bases)
    unavailable = _ask_workspace(args, reports) if args.online else ""
    is_valid = not any(report.errors for report in reports)
    data = {"valid": is_valid, "files": [_plain(report) for report in reports]}
    print_data(args, data, plain=lambda: _show(reports))
    if unavailable:
        note(f"VALIDATION_UNAVAILABLE: {unavailable}. Try again later")
    return 1 if unavailable or not is_valid else 0


def _show(reports: Sequence[_Report]) -> None:
    for report in reports:
        _print(report)


def _ask_workspace(args: argparse.Namespace, reports: Sequence[_Report]) -> str:
    """Add to each report what the workspace finds; return why it could not check, or nothing."""
    from airflow.providers.databricks_air.api.launch.launch import check_online
    from airflow.providers.databricks_air.api.launch.plan import EXAMPLE_TOKEN
    from airflow.providers.databricks_air.api.launch.preflight import ValidationUnavailableError

    client = workspace(args)
    try:
        for report in reports:
            if report.config is not None:
                token = report.config.idempotency_token or EXAMPLE_TOKEN
                report.errors = check_online(client, report.config, token=token)
                report.config = None if report.errors else report.config
    except ValidationUnavailableError as error:
        return str(error)
    finally:
        client.close()
    return ""


class _Report:
    """What is known about one file."""

    def __init__(self, file: str, config: RunConfig | None, errors: Sequence[FieldError]) -> None:
        self.file = file
        self.config = config
        self.errors = errors
        self.base_of: str | None = None

    def recognise(self, bases: _Bases) -> None:
        """Forgive what is missing where another file starts from this one, which brings the rest."""
        if any(error.absent for error in self.errors):
            self.base_of = bases.user_of(self.file)
        if self.base_of is not None:
            self.errors = [error for error in self.errors if not error.absent]


class _Bases:
    """Which files start from which, among those that are checked and those beside them.

    :param files: the files that are checked.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._users: dict[str, str] = {}
        self._read: set[Path] = set()
        self._files = [Path(name) for name in files if name != "-"]

    def user_of(self, file: str) -> str | None:
        """Return a file that names *file* under ``_bases_``, or None."""
        path = Path(file)
        beside = sorted(item for item in path.parent.glob("*.y*ml") if item.is_file())[:_MOST_BESIDE]
        for other in [*self._files, *beside]:
            if other not in self._read:
                self._read.add(other)
                self._users.update(dict.fromkeys(map(str, _named_bases(other)), str(other)))
        return self._users.get(str(path.resolve()))


def _named_bases(file: Path) -> list[Path]:
    """Return the files that *file* names under ``_bases_``, absolute; none where it cannot be read."""
    from airflow.providers.databricks_air.run.document.bases import BASES, read_file
    from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Scalar
    from airflow.providers.databricks_air.run.document.reader import read_yaml
    from airflow.providers.databricks_air.run.errors import ConfigError

    try:
        content = read_file(file)
        node = read_yaml(content)[0] if BASES.encode() in content else None
    except ConfigError:
        return []
    bases = node.get(BASES) if isinstance(node, MapNode) else None
    names = bases.items if isinstance(bases, ListNode) else []
    return [
        (file.parent / item.text).resolve()
        for item in names
        if isinstance(item, Scalar) and "\0" not in item.text
    ]


def _check(name: str, overrides: Sequence[str]) -> _Report:
    from airflow.providers.databricks_air.run import ConfigError, load_run_config
    from airflow.providers.databricks_air.run.document.limits import MAX_BYTES

    # One byte over the limit is enough to be refused.
    source: Any = sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else Path(name)
    try:
        config = load_run_config(source, overrides=overrides, check_code=True)
    except ConfigError as error:
        return _Report(name, None, error.errors)
    return _Report(name, config, ())


def _print(report: _Report) -> None:
    if report.base_of is not None and not report.errors:
        print(f"{report.file}: ok (a base of {report.base_of})")
        return
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
        "valid": not report.errors,
        **({"base_of": report.base_of} if report.base_of else {}),
        "errors": [_fields(error) for error in report.errors],
        "deprecations": [_fields(item) for item in old],
    }


def _fields(error: FieldError) -> dict[str, Any]:
    return {name: getattr(error, name) for name in ("path", "message", "hint", "file", "line")}
