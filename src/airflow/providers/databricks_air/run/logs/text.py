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
"""Makes the text of one log record safe to print; ordinary text passes through unchanged."""

from __future__ import annotations

import re

__all__ = ["LONGEST_LINE", "are_plain", "safe_lines"]

LONGEST_LINE = 16_384
"""Characters of one line that are printed; the rest is cut and counted."""

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
# Everything that moves a cursor, ends a line in some reader, reverses the reading order, or cannot be
# written as UTF-8. A tab is none of them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


# What the platform says of every command without a requirements.yaml; its own clients hide it.
_HIDDEN = ("No co-located requirements.yaml at ", "; skipping requirements.yaml install.")


def are_plain(bodies: list[str]) -> bool:
    """Return whether each of these records is one line that can be printed as it is."""
    text = "".join(bodies)
    return text.isprintable() and _HIDDEN[0] not in text and max(map(len, bodies)) <= LONGEST_LINE


def safe_lines(body: str) -> list[str]:
    r"""Return the printable lines of one record: one, unless the record has line feeds inside, or is hidden.

    What a carriage return overwrites on a terminal (a progress bar) is left out, colours stay, other
    control characters become visible (``\x07``), a line of more than ``LONGEST_LINE`` characters is cut.
    """
    if body.startswith(_HIDDEN[0]) and body.rstrip().endswith(_HIDDEN[1]):
        return []
    if body.isprintable() and len(body) <= LONGEST_LINE:
        return [body]
    return [_safe(line) for line in body.removesuffix("\n").split("\n")]


def _safe(line: str) -> str:
    if "\r" in line:
        line = next((part for part in reversed(line.split("\r")) if part), "")
    whole = len(line)
    line = line[:LONGEST_LINE]
    if _UNSAFE.search(line):
        # Colour sequences are harmless, and the pages that show logs know them.
        kept = [_visible(part) for part in _COLOUR.split(line)]
        colours = [*_COLOUR.findall(line), ""]
        line = "".join(text + colour for text, colour in zip(kept, colours, strict=True))
    return line if whole <= LONGEST_LINE else f"{line}… [cut: the line has {whole:,} characters]"


def _visible(text: str) -> str:
    return _UNSAFE.sub(lambda found: _escape(ord(found.group())), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
