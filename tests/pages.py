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
"""The code blocks of the pages, as a reader copies them.

A comment above a block says what the tests do with it; it is not shown anywhere:

- ``.. file: dags/train.yaml`` is written into the reader's folder, for the blocks below it;
- ``.. not run: needs a workspace`` is only read, for that reason;
- ``.. ends red`` is a Dag that is meant to fail;
- ``.. from: PATH`` shows a file, which has tests of its own (``scripts/shown_files.py``).
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted((ROOT / "docs").rglob("*.rst")))

_BLOCK = re.compile(
    r"(?:^ *\.\. (?P<mark>(?:file|not run|from): .+|ends red)\n\n)?"
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n(?: +:\w.*\n)*\n"
    r"(?P<text>((?P=indent) {2,}.*\n|\n)+)",
    re.MULTILINE,
)


class Block(NamedTuple):
    """A code block.

    :param page: the page, from the root of the repository.
    :param line: where it begins there.
    :param language: of the block.
    :param text: without its indentation.
    :param mark: what the comment above it says; empty without one.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def file(self) -> str:
        """Where a reader puts it; empty if nowhere."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""

    @property
    def is_run(self) -> bool:
        """Whether it is run where it stands."""
        return not self.mark.startswith(("not run: ", "from: "))


def blocks(*languages: str, page: str = "") -> list[Block]:
    """Return the blocks in these languages, of all pages or of one, in their order."""
    return [
        Block(
            str(path.relative_to(ROOT)),
            text.count("\n", 0, found.start()) + 1,
            found["language"],
            textwrap.dedent(found["text"]).strip() + "\n",
            found["mark"] or "",
        )
        for path in PAGES
        if page in ("", str(path.relative_to(ROOT)))
        for text in [path.read_text(encoding="utf-8") + "\n"]
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def name(block: object) -> str:
    """Return a name for a test of a block."""
    return f"{block.page}:{block.line}" if isinstance(block, Block) else str(block)
