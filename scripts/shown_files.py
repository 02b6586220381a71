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
"""Show files in the pages: ``python -m scripts.shown_files`` writes each again below its comment ``.. from: PATH``.

A code host drops every ``literalinclude``, so the pages carry the text itself, and a test compares it with the file.
``.. from: PATH NAME`` shows what stands between ``[START NAME]`` and ``[END NAME]``.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = re.compile(
    r"^(?P<head>\.\. from: (?P<path>\S+)(?: (?P<part>\w+))?\n\n\.\. code-block:: \w+\n\n)(?:   .*\n|\n+(?=   ))+",
    re.MULTILINE,
)
# The licence, what the file says of itself, and an import that says nothing to a reader.
PREAMBLE = re.compile(
    r'\A(# Licensed[^\n]*\n(#[^\n]*\n)*)?\s*(""".*?"""\s*)?(from __future__ import annotations\s*)?',
    re.DOTALL,
)


def shown(path: Path, part: str | None) -> str:
    """Return what a page shows of a file.

    :param path: the file.
    :param part: the name of its part; None shows all of it below its preamble.
    """
    text = path.read_text(encoding="utf-8")
    if part is None:
        return PREAMBLE.sub("", text).strip() + "\n"
    found = re.search(rf"\[START {part}\]\n(.*?)^ *# \[END {part}\]", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"{path} has no part {part}")
    return textwrap.dedent(found[1]).strip() + "\n"


def refreshed(page: str) -> str:
    """Return a page with all that it shows as the files are now."""
    return SHOWN.sub(
        lambda found: found["head"] + textwrap.indent(shown(ROOT / found["path"], found["part"]), "   "), page
    )


def main() -> int:
    """Write every page again that shows a file."""
    for page in sorted((ROOT / "docs").rglob("*.rst")):
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
