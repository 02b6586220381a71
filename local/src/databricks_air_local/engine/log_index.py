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
"""The index of a file of log records, on disk beside it: where a record lies, and when it was."""

from __future__ import annotations

import json
from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Entry", "Line", "LogIndex"]

#: Time, place in the file, bytes of text up to and with this record.
_ENTRY = Struct("<qqq")
#: Least and greatest time of a block of records.
_BLOCK = Struct("<qq")
_BLOCK_SIZE = 1024
_CHUNK_SIZE = 4 * 1024 * 1024
_NEVER = -(2**62)
_NO_END = 2**62

Line = tuple[int, bytes]
"""A position and the record there, as it stands in the file."""


class Entry(NamedTuple):
    """Where a record lies.

    :param position: place in the order of arrival.
    :param time: nanoseconds since the epoch.
    :param offset: place in the file.
    :param text: bytes of the texts of all records up to this one.
    """

    position: int
    time: int
    offset: int
    text: int


class LogIndex:
    """Writes records and finds them again: three numbers for each in one file, two for each block in another.

    Times need not grow. A search by time looks at the blocks, of which there are few, and reads those that can
    hold what is wanted. Whatever a server that died left unfinished is mended when the file is opened.

    :param path: the file of records.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries_path = path.with_suffix(".index")
        self._blocks_path = path.with_suffix(".blocks")
        self._count = 0
        self._end = 0
        #: Bytes of the texts of all records, each with the end of its line.
        self.text = 0
        self._blocks: list[tuple[int, int]] = []
        # The newest record in a block and all before it: it only grows.
        self._reach: list[int] = []
        self._tail: list[int] = []
        self.newest = 0
        self._chunks: list[int] = [0]
        if path.exists():
            self._load()

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    def append(self, records: Sequence[tuple[dict[str, Any], bytes]]) -> None:
        """Write records.

        :param records: each with its line; ``t`` is its time, ``b`` its text, ``d`` marks a second delivery.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.writelines(line for _, line in records)
        self._enter(records)

    def _enter(self, records: Sequence[tuple[dict[str, Any], bytes]]) -> None:
        entries = []
        for record, line in records:
            if "d" not in record:
                self.text += len(record["b"].encode("utf-8", "replace")) + 1
            entries.append(_ENTRY.pack(record["t"], self._end, self.text))
            self._end += len(line)
            self._tail.append(record["t"])
        self._count += len(entries)
        with self._entries_path.open("ab") as file:
            file.writelines(entries)
        self._close_blocks()

    def _close_blocks(self) -> None:
        """Sum up what makes whole blocks; what is left belongs to the next one."""
        self.newest = max([self.newest, *self._tail])
        full = []
        while len(self._tail) >= _BLOCK_SIZE:
            block, self._tail = self._tail[:_BLOCK_SIZE], self._tail[_BLOCK_SIZE:]
            full.append((min(block), max(block)))
        self._add_blocks(full)
        if full:
            with self._blocks_path.open("ab") as file:
                file.writelines(_BLOCK.pack(*block) for block in full)

    def _add_blocks(self, blocks: Iterable[Any]) -> None:
        for block in blocks:
            self._blocks.append(block)
            self._reach.append(max([block[1], *self._reach[-1:]]))

    def read(self, first: int, end: int) -> list[Entry]:
        """Return the entries between two positions."""
        if first >= min(end, self._count):
            return []
        return [Entry(first + number, *found) for number, found in enumerate(self._unpack(first, end))]

    def _unpack(self, first: int, end: int) -> Iterator[tuple[int, ...]]:
        with self._entries_path.open("rb") as file:
            file.seek(first * _ENTRY.size)
            data = file.read(max(0, min(end, self._count) - first) * _ENTRY.size)
        return _ENTRY.iter_unpack(data)

    def lines(self, first: int, end: int, since: int = _NEVER, until: int = _NO_END) -> list[Line]:
        """Return the records between two positions whose times are between two others.

        :param since: nanoseconds, inclusive.
        :param until: nanoseconds, exclusive.
        """
        count = min(end, self._count) - first
        if count <= 0:
            return []
        # One more: the next record begins where the last one ends.
        times, offsets, _ = zip(*self._unpack(first, end + 1), (0, self._end, 0), strict=True)
        with self._path.open("rb") as file:
            file.seek(offsets[0])
            data = file.read(offsets[count] - offsets[0])
        return [
            (first + at, data[offsets[at] - offsets[0] : offsets[at + 1] - offsets[0]])
            for at in range(count)
            if since <= times[at] < until
        ]

    def blocks(
        self, since: int, until: int, *, ascending: bool, start: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Return first and end positions of the blocks that can hold records between two times.

        :param start: position of the first record that is wanted; the end of the direction when ``None``.
        """
        tail = (min(self._tail), max(self._tail)) if self._tail else (_NO_END, _NEVER)
        here = len(self._blocks) if start is None else min(start // _BLOCK_SIZE, len(self._blocks))
        # All blocks before this one are too old.
        oldest = bisect_left(self._reach, since)
        if ascending:
            numbers = range(max(oldest, 0 if start is None else here), len(self._blocks) + 1)
        else:
            numbers = range(here, oldest - 1, -1)
        for number in numbers:
            least, greatest = self._blocks[number] if number < len(self._blocks) else tail
            if greatest >= since and least < until:
                yield number * _BLOCK_SIZE, (number + 1) * _BLOCK_SIZE

    def chunks(self) -> list[tuple[int, int, int]]:
        """Return first and end positions and bytes of text of each piece of about 4 MiB."""
        if not self._count:
            return []
        while True:
            start = self._chunks[-1]
            full = self._text_before(start) + _CHUNK_SIZE
            if full > self.text:
                break
            # The record that makes it full still belongs to it.
            end = bisect_left(range(self._count), full, start, key=self._text_of) + 1
            if end >= self._count:
                break
            self._chunks.append(end)
        bounds = [*self._chunks, self._count]
        texts = [self._text_before(position) for position in bounds]
        return [
            (first, end, after - before)
            for first, end, before, after in zip(bounds, bounds[1:], texts, texts[1:], strict=False)
        ]

    def _text_of(self, position: int) -> int:
        return self.read(position, position + 1)[0].text

    def _text_before(self, position: int) -> int:
        return self._text_of(position - 1) if position else 0

    def _load(self) -> None:
        size = self._entries_path.stat().st_size if self._entries_path.exists() else 0
        self._count = size // _ENTRY.size
        if not self._agrees():
            self._count, self._end, self.text = 0, 0, 0
        _cut(self._entries_path, self._count * _ENTRY.size)
        self._load_blocks()
        with self._path.open("rb") as file:
            file.seek(self._end)
            records = []
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the server died in the middle of it; the raw output still has the line
                records.append((json.loads(line), line))
        if records:
            self._enter(records)
        _cut(self._path, self._end)

    def _agrees(self) -> bool:
        """Return whether the last record that the index knows lies where it says."""
        if not self._count:
            return True
        (last,) = self.read(self._count - 1, self._count)
        with self._path.open("rb") as file:
            file.seek(last.offset)
            line = file.readline()
        self._end, self.text = last.offset + len(line), last.text
        return line.endswith(b"\n") and f'"t": {last.time},'.encode() in line

    def _load_blocks(self) -> None:
        there = self._blocks_path.read_bytes() if self._blocks_path.exists() else b""
        known = min(len(there) // _BLOCK.size, self._count // _BLOCK_SIZE)
        self._add_blocks(_BLOCK.iter_unpack(there[: known * _BLOCK.size]))
        _cut(self._blocks_path, known * _BLOCK.size)
        self.newest = self._reach[-1] if self._reach else 0
        self._tail = [entry.time for entry in self.read(known * _BLOCK_SIZE, self._count)]
        self._close_blocks()


def _cut(path: Path, size: int) -> None:
    """Take away what stands behind the last whole entry of a file."""
    if path.exists() and path.stat().st_size > size:
        with path.open("r+b") as file:
            file.truncate(size)
