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
"""``explain``: tell what a field of the run configuration means."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.cli.envelope import USAGE, CommandError
from airflow.providers.databricks_air.cli.output import add_output_option, answer, print_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.databricks_air.run.config.schema.fields import SchemaField

__all__ = ["configure", "run"]

_WIDTH = 88


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "field",
        nargs="?",
        default="",
        metavar="FIELD",
        help="such as compute.accelerator_type; all fields without it",
    )
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the documentation of one field, or of all; return 2 when there is no such field."""
    return answer(args, _explain)


def _explain(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.run.config.schema.fields import named_field, root
    from airflow.providers.databricks_air.run.document.bases import BASES, BASES_TEXT
    from airflow.providers.databricks_air.run.errors import ConfigError

    if args.field == BASES:
        what = {"path": BASES, "summary": "list, optional", "text": BASES_TEXT, "fields": []}
        print_data(args, what, plain=lambda: print(f"{BASES} (list, optional)\n  {BASES_TEXT}"))
        return 0
    try:
        field = named_field(args.field) if args.field else root()
    except ConfigError as error:
        raise CommandError("\n".join(map(str, error.errors)), exit_code=USAGE) from None
    print_data(args, _plain(field), plain=lambda: print("\n".join(_lines(field))))
    return 0


def _plain(field: SchemaField) -> dict[str, Any]:
    children = (field.item or field).children
    return {
        "path": field.path,
        "summary": field.summary,
        "text": plain_doc(field),
        "fields": [_plain(child) for child in children.values()],
    }


def _lines(field: SchemaField) -> Iterator[str]:
    if field.path:
        yield f"{field.path} ({field.summary})"
    for paragraph in plain_doc(field).split("\n\n"):
        yield textwrap.fill(paragraph, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    inner = field.item or field
    if inner.children:
        yield ""
        yield "Fields:"
        width = max(map(len, inner.children))
        for name, child in inner.children.items():
            yield f"  {name:<{width}}  {child.summary}"


def plain_doc(field: SchemaField) -> str:
    """Return the documentation of a field without markup."""
    return field.text.replace("``", "")
