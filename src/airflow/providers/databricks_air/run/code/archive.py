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
"""A tar stream that depends on names, modes and contents alone, and its compression on all cores."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple, Protocol

from isal import igzip_threaded

from airflow.providers.databricks_air.run.code.processors import processors

__all__ = ["BLOCK", "Contents", "Sink", "TarStream", "gzipped"]

BLOCK = 1024 * 1024
# Late enough for zip files in any time zone, which cannot say 1979.
_TIME = 315_619_200
_RECORD = 10_240
_LEVEL = 3
# Each thread holds some blocks; more of them wait for the disk.
_MOST_THREADS = 8


class Sink(Protocol):
    """Anything that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take *data*."""
        ...


class TarStream:
    """Writes a tar archive in the GNU format: any name, any length, no owners and no times.

    :param sink: where the bytes go.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._position = 0

    def directory(self, name: bytes) -> None:
        """Add a directory."""
        self._header(name.rstrip(b"/") + b"/", tarfile.DIRTYPE, 0o755)

    def link(self, name: bytes, target: bytes) -> None:
        """Add a symbolic link."""
        self._header(name, tarfile.SYMTYPE, 0o777, target=target)

    def file(self, name: bytes, size: int, *, executable: bool) -> Callable[[bytes], None]:
        """Start a file and return the function that takes its content, *size* bytes in all.

        Call :meth:`end_file` after the last piece.
        """
        self._header(name, tarfile.REGTYPE, 0o755 if executable else 0o644, size=size)
        return self._write

    def end_file(self) -> None:
        """Fill the last block of a file."""
        self._write(b"\0" * (-self._position % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """End the archive."""
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._write(b"\0" * (-self._position % _RECORD))

    def _header(self, name: bytes, kind: bytes, mode: int, *, size: int = 0, target: bytes = b"") -> None:
        info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
        info.type = kind
        info.mode = mode
        info.size = size
        info.mtime = _TIME
        info.uname = info.gname = "root"
        info.linkname = target.decode("utf-8", "surrogateescape")
        self._write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def _write(self, data: bytes) -> None:
        self._position += len(data)
        self._sink.write(data)


class Contents(NamedTuple):
    """What an archive holds.

    :param key: 64 hex characters that stand for it.
    :param origin: where it comes from, for people: ``working tree`` or ``commit <id>``.
    :param pack: writes the entries of the archive.
    """

    key: str
    origin: str
    pack: Callable[[TarStream], None]


class _Blocks:
    """Hands data on in blocks of one size, since the compression starts anew with each block."""

    def __init__(self, sink: Sink, check: Callable[[], None]) -> None:
        self._sink = sink
        self._check = check
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= BLOCK:
            self._check()
            self._sink.write(bytes(self._waiting[:BLOCK]))
            del self._waiting[:BLOCK]

    def flush(self) -> None:
        self._sink.write(bytes(self._waiting))
        self._waiting.clear()


@contextmanager
def gzipped(file: IO[bytes], check: Callable[[], None]) -> Iterator[Sink]:
    """Give a sink whose content is written to *file* as gzip: no time, the same for any number of cores.

    :param file: stays open.
    :param check: called before each block; what it raises ends the work.
    """
    with igzip_threaded.open(  # type: ignore[no-untyped-call] # it says nothing of its types
        file, "wb", compresslevel=_LEVEL, threads=_cores(), block_size=BLOCK
    ) as stream:
        blocks = _Blocks(stream, check)
        yield blocks
        blocks.flush()


def _cores() -> int:
    """Return how many threads compress; at least two: a single one takes another way through the library."""
    return max(2, min(processors(), _MOST_THREADS))
