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
"""Record ``make demo`` on a terminal and draw it as a picture that moves: docs/images/demo.svg.

Run it as ``python -m scripts.cast``. Pauses are cut, so that a minute is seen in half of it; whoever has asked for less
motion sees the last lines at once.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/images/demo.svg"
ROWS, COLUMNS = 30, 116
LINE, LETTER = 18, 8.1  # pixels
LONGEST_PAUSE = 1.2  # seconds
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Menlo, Consolas, monospace" \
font-size="13.5"><title>make demo</title><style>
text {{ white-space: pre; fill: #d8dee9; opacity: 0; animation: show 1ms forwards }}
.bold {{ font-weight: bold; fill: #ffffff }} .dim {{ fill: #7b8496 }} .red {{ fill: #ff7b72 }}
#all {{ animation: up {seconds:.1f}s steps(1, end) forwards }}
@keyframes show {{ to {{ opacity: 1 }} }}
@keyframes up {{ {scroll} }}
@media (prefers-reduced-motion) {{
  text, #all {{ animation-duration: 1ms !important; animation-delay: 0s !important }}
}}
</style><rect width="100%" height="100%" rx="8" fill="#1b1f27"/>
<svg y="10" height="{inner}"><g id="all">
"""


class Line(NamedTuple):
    """A line of the terminal.

    :param at: seconds from the beginning.
    :param text: what it says, with its styles.
    """

    at: float
    text: Text


def recorded(command: list[str]) -> Iterator[Line]:
    """Run a command on a terminal of its own and yield its lines as they come.

    :raises subprocess.CalledProcessError: when it fails.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    began = time.monotonic()
    with os.fdopen(master, "r", encoding="utf-8", errors="replace", newline="\n") as terminal:
        try:
            for line in terminal:
                yield Line(time.monotonic() - began, Text.from_ansi(line.rstrip("\r\n")))
        except OSError:
            pass  # Linux says so when the other end of a terminal is closed.
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)


def hurried(lines: list[Line]) -> list[Line]:
    """Return the lines with long pauses cut, and one after the other."""
    now, before, result = 0.5, 0.0, []
    for line in lines:
        now += max(0.07, min(line.at - before, LONGEST_PAUSE))
        before = line.at
        result.append(Line(now, line.text))
    return result


def _spans(text: Text) -> Iterator[str]:
    for part in text.divide([edge for span in text.spans for edge in (span.start, span.end)]):
        style = str(part.spans[0].style) if part.spans else ""
        plain = escape(part.plain)
        if plain:
            yield f'<tspan class="{style}">{plain}</tspan>' if style else plain


def _scroll(lines: list[Line]) -> str:
    """Return the steps by which the lines go up, so that the newest is the last one that is seen."""
    ups = [(line.at, at + 1 - ROWS) for at, line in enumerate(lines) if at + 1 > ROWS]
    end = (lines[-1].at, max(0, len(lines) - ROWS))
    return " ".join(
        f"{100 * at / lines[-1].at:.2f}% {{ transform: translateY({-LINE * up}px) }}"
        for at, up in [*ups, end]
    )


def drawn(lines: list[Line]) -> str:
    """Return the picture of the lines."""
    inner = LINE * ROWS + 8
    size = {"width": int(COLUMNS * LETTER) + 28, "height": inner + 20, "inner": inner}
    texts = "".join(
        f'<text x="14" y="{LINE * at}" style="animation-delay:{line.at:.2f}s">{"".join(_spans(line.text))}</text>\n'
        for at, line in enumerate(lines, 1)
        if line.text.plain
    )
    return f"{HEAD.format(seconds=lines[-1].at, scroll=_scroll(lines), **size)}{texts}</g></svg></svg>\n"


def main() -> int:
    """Record, draw, and say how large the picture is."""
    command = [sys.executable, "scripts/demo.py"]
    lines = [Line(0.0, Text("$ make demo", style="bold")), *recorded(command)]
    for _, text in lines:
        text.truncate(COLUMNS, overflow="ellipsis")
    TARGET.write_text(drawn(hurried(lines)), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(lines)} lines, {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
