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
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from airflow.providers.databricks_air.run.errors import SnapshotError
from airflow.providers.databricks_air.run.tree import Directory, read_chunks, shown

__all__ = ["FileHashes", "cache_directory"]

log = logging.getLogger(__name__)

_VERSION = 1
_PIECE = 1024 * 1024
_TRIES = 3
_FORGET_AFTER = 30 * 24 * 3600.0
# A write that follows the reading within one tick of the file system's clock leaves no trace in the times.
_TICK = 50_000_000
_COARSE_TICK = 2_000_000_000


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
        self._known: dict[str, Any] = _load(self._file)
        self._seen: dict[str, Any] = {}
        self._is_new = False

    def digest(self, directory: Directory, path: bytes, status: os.stat_result) -> tuple[str, int]:
        """Return the hex SHA-256 and the size of the file at *path*.

        :param directory: the root.
        :param path: the file, relative to the root.
        :param status: what ``lstat`` says of it.
        :raises SnapshotError: naming the file, when it cannot be read or does not hold still.
        """
        name = path.decode("utf-8", "surrogateescape")
        known = self._known.get(name)
        signature = _signature(status)
        if known and known[0] == signature and not _is_racy(status, known[1]):
            self._seen[name] = known
            return known[2], status.st_size
        self._is_new = True
        for _ in range(_TRIES):
            started = time.time_ns()
            hashed = hashlib.sha256()
            with directory.open(path) as file:
                before = os.fstat(file.fileno())
                size = read_chunks(file, _PIECE, hashed.update)
                after = os.fstat(file.fileno())
            if _signature(before) == _signature(after) and size == after.st_size:
                self._seen[name] = [_signature(after), started, hashed.hexdigest()]
                return hashed.hexdigest(), size
        raise SnapshotError(f"code_source: {shown(path)} changes all the time and cannot be packed")

    def save(self) -> None:
        """Remember what was read; a cache that cannot be written is only slower."""
        if self._file is None or not self._is_new:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget(self._file.parent)
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False) as new:
                json.dump({"version": _VERSION, "files": self._seen}, new, separators=(",", ":"))
            os.replace(new.name, self._file)


def _memory_of(root: Path) -> Path | None:
    try:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
        return cache_directory() / "files" / f"{name}.json"
    except (OSError, RuntimeError):
        # There is no home directory.
        return None


def _load(file: Path | None) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes()) if file else {}
        return dict(content["files"]) if content["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _signature(status: os.stat_result) -> str:
    """Return what changes when a file is written: a write always moves ``ctime``, which nobody can set."""
    return f"{status.st_dev}.{status.st_ino}.{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}"


def _is_racy(status: os.stat_result, hashed_at: int) -> bool:
    """Return whether a file may have been written again without a trace after it was read at *hashed_at*."""
    tick = _TICK if status.st_ctime_ns % 1_000_000_000 else _COARSE_TICK
    return status.st_ctime_ns + tick >= hashed_at


def _forget(directory: Path) -> None:
    """Remove the memories of directories that nobody asked for in a long time."""
    oldest = time.time() - _FORGET_AFTER
    for file in directory.iterdir():
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
