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
"""What is in a file, remembered by what the file system says of it.

The memory is one file for each code directory below ``$XDG_CACHE_HOME``. It may be deleted at any time;
processes that write it at once replace each other's, which costs time but is never wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import time
from pathlib import Path

from airflow.providers.databricks_air.run.code.directory import Directory, read_chunks
from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["FileHashes", "cache_directory"]

_MAGIC = b"air file hashes 1\n"
_PIECE = 1024 * 1024
_TRIES = 3
_FORGET_AFTER = 30 * 24 * 3600.0
# A write that follows the reading within one tick of the file system's clock leaves no trace in the times.
_TICK = 50_000_000
_COARSE_TICK = 2_000_000_000
# Device, inode, size and times of a file; when it was read; its hash; the length of its path.
_SIGNATURE = struct.Struct("<QQQqq")
_READ_AT = struct.Struct("<q")
_LENGTH = struct.Struct("<I")
_DIGEST = 32
_ENTRY = _SIGNATURE.size + _READ_AT.size + _DIGEST


def cache_directory() -> Path:
    """Return the directory of this package's per-machine caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "airflow-provider-databricks-air"


class FileHashes:
    """The SHA-256 of files, read only where they may have changed.

    :param root: the directory whose files are asked for.
    """

    def __init__(self, root: Path) -> None:
        self._file = _memory_of(root)
        self._known = _load(self._file)
        self._seen: dict[bytes, bytes] = {}
        self._is_new = False

    def digest(self, directory: Directory, path: bytes, status: os.stat_result) -> tuple[bytes, int]:
        """Return the SHA-256 and the size of the file at *path*.

        :param directory: the root.
        :param path: the file, relative to the root.
        :param status: what ``lstat`` says of it.
        :raises SnapshotError: naming the file, when it cannot be read or does not hold still.
        """
        known = self._known.get(path)
        if known and known.startswith(_signature(status)) and not _is_racy(status, known):
            self._seen[path] = known
            return known[-_DIGEST:], status.st_size
        self._is_new = True
        for _ in range(_TRIES):
            started = time.time_ns()
            hashed = hashlib.sha256()
            with directory.open(path) as file:
                before = os.fstat(file.fileno())
                size = read_chunks(file, _PIECE, hashed.update)
                after = os.fstat(file.fileno())
            if _signature(before) == _signature(after) and size == after.st_size:
                self._seen[path] = _signature(after) + _READ_AT.pack(started) + hashed.digest()
                return hashed.digest(), size
        raise SnapshotError(f"code_source: {one_line(path)} changes all the time and cannot be packed")

    def save(self) -> None:
        """Remember what was read; a cache that cannot be written is only slower."""
        if self._file is None or not self._is_new:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget(self._file.parent)
            with tempfile.NamedTemporaryFile(dir=self._file.parent, delete=False) as new:
                whole = hashlib.sha256()
                new.write(_MAGIC)
                for path, entry in self._seen.items():
                    record = entry + _LENGTH.pack(len(path)) + path
                    whole.update(record)
                    new.write(record)
                new.write(whole.digest())
            os.replace(new.name, self._file)


def _memory_of(root: Path) -> Path | None:
    try:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
        return cache_directory() / "files" / name
    except (OSError, RuntimeError):
        # There is no home directory.
        return None


def _load(file: Path | None) -> dict[bytes, bytes]:
    """Return what is remembered: for each path the signature, the time and the hash, one behind the other."""
    try:
        content = file.read_bytes() if file else b""
    except OSError:
        return {}
    start, end = len(_MAGIC), len(content) - _DIGEST
    if not content.startswith(_MAGIC) or hashlib.sha256(content[start:end]).digest() != content[end:]:
        return {}
    known: dict[bytes, bytes] = {}
    while start < end:
        name = start + _ENTRY + _LENGTH.size
        (length,) = _LENGTH.unpack_from(content, start + _ENTRY)
        known[content[name : name + length]] = content[start : start + _ENTRY]
        start = name + length
    return known


def _signature(status: os.stat_result) -> bytes:
    """Return what changes when a file is written: a write always moves ``ctime``, which nobody can set."""
    return _SIGNATURE.pack(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _is_racy(status: os.stat_result, entry: bytes) -> bool:
    """Return whether a file may have been written again, without a trace, after it was read."""
    (read_at,) = _READ_AT.unpack_from(entry, _SIGNATURE.size)
    tick = _TICK if status.st_ctime_ns % 1_000_000_000 else _COARSE_TICK
    return bool(status.st_ctime_ns + tick >= read_at)


def _forget(directory: Path) -> None:
    """Remove the memories of directories that nobody asked for in a long time."""
    oldest = time.time() - _FORGET_AFTER
    for file in directory.iterdir():
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
