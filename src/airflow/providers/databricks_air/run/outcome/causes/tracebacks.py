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
"""Python tracebacks in the lines of a log, also of several processes that write into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

__all__ = ["LONGEST_FACT", "Chain", "PlainLine", "Raised", "chains_of", "plain_lines"]

LONGEST = 400
"""Characters of a line that are looked at: what matters stands at its beginning."""
LONGEST_FACT = 240

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_SENDER = re.compile(
    r"\[(?:rank|default|node )?\d+\]: ?|\((?:\w+ )?pid=\d+(?:, ip=[\d.]+)?\) |\d{1,4}: (?=Traceback|  File|\w+Error)"
)
_HEADER = "Traceback (most recent call last)"
_LINKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_FRAME = re.compile(r'\s+File "([^"]{1,400})", line (\d+)(?:, in (.{1,100}))?')
_BOXED_FRAME = re.compile(r"[│|]\s+(\S{1,300}):(\d+) in (\S{1,100})")
_TYPE = re.compile(r"[A-Za-z_][\w.]*(?:\([\w.]+\))?")
# Python's own classes end so; others are printed with their module.
_BUILTIN = re.compile(r"\w*(?:Error|Exception|Exit|Interrupt|Iteration|Group|Warning)(?:\([\w.]+\))?")
_SYNTAX = ("SyntaxError: ", "IndentationError: ", "TabError: ")
_NOT_FATAL = ("Exception ignored in", "--- Logging error ---", "Task exception was never retrieved")
_ASIDE = ("Exception in thread", "Error in atexit._run_exitfuncs", "Exception in callback")
_QUIET_LEVEL = re.compile(r"\b(?:WARN|WARNING|INFO|DEBUG)\b")
_INDENTS = frozenset(" \t│|╰")
_LIBRARIES = ("/site-packages/", "/dist-packages/", "/lib/python3", "<frozen ", "<string>")
_CODE_SOURCE = "/databricks/code_source/"


class PlainLine(NamedTuple):
    """One line as its process wrote it.

    :param at: its place among the lines that were looked at.
    :param sender: what stands before it and says which process wrote it; empty when nothing does.
    :param text: the line without that and without colours, cut to what is looked at.
    """

    at: int
    sender: str
    text: str


@dataclass(frozen=True)
class Raised:
    """One exception that a traceback ends with.

    :param type: its class as Python prints it.
    :param message: the first line of its message.
    :param place: file, line and function in the author's code, as far as the traceback goes there.
    :param at: place of the line that names it.
    """

    type: str
    message: str
    place: str
    at: int

    @property
    def fact(self) -> str:
        """The exception in one line: ``KeyError: 'lr' at train.py:41 (main)``."""
        text = f"{self.type}: {self.message}" if self.message else self.type
        text = text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}…"
        return f"{text} at {self.place}" if self.place else text


@dataclass(frozen=True)
class Chain:
    """Exceptions of which each led to the next; the last one ended the work.

    :param raised: oldest first.
    :param is_aside: whether it ended a thread or a clean-up and not the program.
    """

    raised: tuple[Raised, ...]
    is_aside: bool = False


def plain_lines(lines: Iterable[str]) -> list[PlainLine]:
    """Return the lines as their processes wrote them.

    :param lines: oldest first.
    """
    return [_plain(at, line[:LONGEST]) for at, line in enumerate(lines)]


def _plain(at: int, text: str) -> PlainLine:
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    sender = ""
    # At most three, one for each launcher around the program.
    for _ in range(3):
        match = _SENDER.match(text) if text[:1] in "[(0123456789" else None
        if match is None:
            break
        sender, text = sender + match.group(), text[match.end() :]
    return PlainLine(at, sender, text.rstrip())


def chains_of(lines: Iterable[PlainLine]) -> Iterator[Chain]:
    """Yield the tracebacks that may have ended a program, oldest first.

    :param lines: of one process.
    """
    reader = _Reader(list(lines))
    yield from reader.chains()


class _Reader:
    """Reads the lines of one process once, from the first to the last."""

    def __init__(self, lines: list[PlainLine]) -> None:
        self._lines = lines
        self._at = 0

    def chains(self) -> Iterator[Chain]:
        raised: list[Raised] = []
        is_aside = is_linked = False
        if not any(_HEADER in line.text or line.text.startswith(_SYNTAX) for line in self._lines):
            return
        while self._at < len(self._lines):
            text = self._lines[self._at].text
            is_linked = is_linked or text.startswith(_LINKS)
            if not _is_header(text) and not self._is_syntax_error():
                self._at += 1
                continue
            before = self._lines[self._at - 1].text if self._at else ""
            found = self._traceback()
            if found is None or (self._was_logged(before) and not is_linked):
                continue
            if raised and not is_linked:
                yield Chain(tuple(raised), is_aside)
                raised = []
            is_aside = before.startswith(_ASIDE) if not raised else is_aside
            raised.append(found)
            is_linked = False
        if raised:
            yield Chain(tuple(raised), is_aside)

    def _traceback(self) -> Raised | None:
        """Read on behind a header; return what was raised, or None where the traceback breaks off."""
        self._at += 1
        found: Raised | None = None
        while True:
            frames = self._frames()
            raised = _raised(self._lines[self._at], frames) if self._at < len(self._lines) else None
            if raised is None:
                return found
            found = raised
            self._at += 1
            # Ray prints the remote function's frames, and its exception, behind its own exception.
            if self._at == len(self._lines) or not _FRAME.match(self._lines[self._at].text):
                return found

    def _was_logged(self, before: str) -> bool:
        """Whether a traceback was only printed: by Python itself, or by a logger of a program that went on."""
        if before.startswith(_NOT_FATAL):
            return True
        return _is_quiet(before) and self._at <= self._last_quiet

    @cached_property
    def _last_quiet(self) -> int:
        places = range(len(self._lines) - 1, -1, -1)
        return next((place for place in places if _is_quiet(self._lines[place].text)), -1)

    def _is_syntax_error(self) -> bool:
        """Whether a file is named here that Python could not even read: that is told without a header."""
        if not _FRAME.match(self._lines[self._at].text):
            return False
        first = next((line for line in self._lines[self._at : self._at + 5] if line.text[:1] != " "), None)
        if first is None or not first.text.startswith(_SYNTAX):
            return False
        self._at -= 1
        return True

    def _frames(self) -> list[tuple[str, str, str]]:
        frames: list[tuple[str, str, str]] = []
        while self._at < len(self._lines) and self._lines[self._at].text[:1] in _INDENTS:
            text = self._lines[self._at].text
            if frame := _FRAME.match(text) or _BOXED_FRAME.match(text):
                frames.append((frame.group(1), frame.group(2), frame.group(3) or ""))
            self._at += 1
        return frames


def _is_quiet(text: str) -> bool:
    return _QUIET_LEVEL.search(text[:120]) is not None


def _is_header(text: str) -> bool:
    return _HEADER in text[:80] and (text.startswith((_HEADER, "╭")) or text.endswith(f"{_HEADER}):"))


def _raised(line: PlainLine, frames: list[tuple[str, str, str]]) -> Raised | None:
    name, _, message = line.text.partition(": ")
    name = name.rstrip(":")
    if not _TYPE.fullmatch(name) or not ("." in name or _BUILTIN.fullmatch(name)):
        return None
    return Raised(name, message.strip(), _place(frames), line.at)


def _place(frames: list[tuple[str, str, str]]) -> str:
    """Return the innermost place in the author's code; in a library where there is none of the author's."""
    own = [frame for frame in frames if _CODE_SOURCE in frame[0] or not _is_library(frame[0])]
    if not frames:
        return ""
    path, number, function = (own or frames)[-1]
    where = f"{_short(path)}:{number}"
    return f"{where} ({function})" if function and function != "<module>" else where


def _is_library(path: str) -> bool:
    return any(part in path for part in _LIBRARIES)


def _short(path: str) -> str:
    if _CODE_SOURCE in path:
        return path.rpartition(_CODE_SOURCE)[2].partition("/")[2]
    for part in _LIBRARIES[:2]:
        if part in path:
            return path.rpartition(part)[2]
    return path.rpartition("/")[2] if path.startswith("/") else path
