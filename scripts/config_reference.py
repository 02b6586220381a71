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
"""Make docs/configuration-reference.rst from the models of the run configuration.

Run it as ``python -m scripts.config_reference``; with ``--check`` it only says whether the page is current.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.run.config.schema.fields import SchemaField, root
from scripts.generated_page import write_or_check

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/configuration-reference.rst"

HEAD = """\
.. Made from the models by scripts/config_reference.py; change the models, not this page.

Fields of the run configuration
===============================

``airflow-databricks-air explain FIELD`` prints
the same text.

"""


def page() -> str:
    """Return the text of the page."""
    licence = (ROOT / "docs/configuration.rst").read_text(encoding="utf-8").partition("\n\nRun config")[0]
    return f"{licence}\n\n{HEAD}" + "\n".join("\n".join(section) + "\n" for section in _sections(root()))


def _sections(field: SchemaField) -> Iterator[list[str]]:
    """Yield one section for the document and for every field that holds fields."""
    inner = field.item or field
    title = f"``{field.path}``" if field.path else "Top level"
    if field.path:
        title = f"``{inner.path}``"
    lines = [title, "-" * len(title), "", field.text, ""]
    for name, child in inner.children.items():
        lines += [
            f"``{name}`` ({child.summary})",
            textwrap.indent(textwrap.fill(child.text, 108), "    "),
            "",
        ]
    yield lines
    for child in inner.children.values():
        if (child.item or child).children:
            yield from _sections(child)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is current.

    :param arguments: of the command line.
    """
    return write_or_check(TARGET, page(), "scripts.config_reference", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
