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
"""The files below a directory, reached without following a link on the way."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["EXECUTABLE", "LINK", "REGULAR", "Directory", "TreeFile", "kind_of", "read_chunks", "refused"]

REGULAR = 0o100644
EXECUTABLE = 0o100755
LINK = 0o120777
"""What a file is: git's three kinds, whatever the umask was when it was checked out."""

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO that took a file's place must not block.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class TreeFile(NamedTuple):
    """One file or link of a snapshot.

    :param path: relative to the root, as raw bytes.
    :param mode: :data:`REGULAR`, :data:`EXECUTABLE` or :data:`LINK`.
    :param size: bytes of a file's content; 0 for a link.
    :param digest: SHA-256 of a file's content; empty for a link.
    :param target: where a link points to; empty for a file.
    """

    path: bytes
    mode: int
    size: int = 0
    digest: bytes = b""
    target: bytes = b""


class Directory:
    """A directory whose files are opened part by part, so that a link to elsewhere is never followed.

    Paths are best asked for in sorted order: the last parent stays open.

    :param root: the directory itself, which may be reached through links.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chain: list[tuple[bytes, int]] = []
        self._last: tuple[bytes, int] | None = None
        try:
            self._top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SnapshotError(f"code_source.root_path: {root} cannot be read: {error.strerror}") from None

    def __enter__(self) -> Directory:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self._cut(0)
        os.close(self._top)

    def status(self, path: bytes) -> os.stat_result | None:
        """Return what is at *path*, a link itself rather than its target; None when nothing is."""
        folder, _, name = path.rpartition(b"/")
        try:
            return os.stat(name, dir_fd=self._parent(folder), follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise _unreadable(path, error) from None

    def target(self, path: bytes) -> bytes:
        """Return where the link at *path* points to."""
        folder, _, name = path.rpartition(b"/")
        try:
            return os.readlink(name, dir_fd=self._parent(folder))
        except OSError as error:
            raise _unreadable(path, error) from None

    def open(self, path: bytes) -> IO[bytes]:
        """Open the file at *path*, unbuffered.

        :raises SnapshotError: naming it, when it is gone, is no file any more, or cannot be read.
        """
        folder, _, name = path.rpartition(b"/")
        try:
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=self._parent(folder))
        except OSError as error:
            raise _unreadable(path, error) from None
        return open(descriptor, "rb", buffering=0)

    def strangers(self, folders: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what lies in *folders* and is neither a file, a directory nor a link."""
        for folder in folders:
            prefix = folder + b"/" if folder else b""
            try:
                with os.scandir(self._parent(folder)) as entries:
                    names = [entry.name for entry in entries if not _is_known(entry)]
            except OSError as error:
                raise _unreadable(folder, error) from None
            yield from (prefix + os.fsencode(name) for name in names)

    def _parent(self, folder: bytes) -> int:
        """Return the open directory *folder*."""
        if self._last and self._last[0] == folder:
            return self._last[1]
        names = folder.split(b"/") if folder else []
        same = 0
        while same < min(len(names), len(self._chain)) and self._chain[same][0] == names[same]:
            same += 1
        self._cut(same)
        current = self._chain[-1][1] if self._chain else self._top
        for name in names[same:]:
            current = os.open(name, _DIRECTORY_FLAGS, dir_fd=current)
            self._chain.append((name, current))
        self._last = (folder, current)
        return current

    def _cut(self, length: int) -> None:
        self._last = None
        while len(self._chain) > length:
            os.close(self._chain.pop()[1])


def read_chunks(file: IO[bytes], size: int, each: Callable[[bytes], object]) -> int:
    """Pass *file* to *each* in pieces of at most *size* bytes and return how many bytes there were."""
    total = 0
    while piece := file.read(size):
        total += len(piece)
        each(piece)
    return total


def kind_of(path: bytes, status: os.stat_result) -> int:
    """Return :data:`REGULAR`, :data:`EXECUTABLE` or :data:`LINK`.

    :raises SnapshotError: when it is anything else.
    """
    if stat.S_ISLNK(status.st_mode):
        return LINK
    if stat.S_ISREG(status.st_mode):
        return EXECUTABLE if status.st_mode & stat.S_IXUSR else REGULAR
    raise refused(path)


def refused(path: bytes) -> SnapshotError:
    """Return the error for something that an archive of code cannot hold."""
    return SnapshotError(
        f"code_source: {one_line(path)} is a pipe, a socket or a device and cannot be packed. "
        "Remove it, or name it in .gitignore"
    )


def _is_known(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink()


def _unreadable(path: bytes, error: OSError) -> SnapshotError:
    if error.errno in _NOT_THERE:
        return SnapshotError(f"code_source: {one_line(path)} vanished while it was packed")
    return SnapshotError(f"code_source: {one_line(path)} cannot be read: {error.strerror}")
