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
"""What is in a file, read until it holds still."""

from __future__ import annotations

import hashlib
import os

from airflow.providers.databricks_air.run.code.directory import Directory, read_chunks
from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["file_digest"]

_PIECE = 1024 * 1024
_TRIES = 3


def file_digest(directory: Directory, path: bytes) -> tuple[bytes, int]:
    """Return the SHA-256 and the size of a file.

    :param directory: the root.
    :param path: the file, relative to the root.
    :raises SnapshotError: naming the file, when it cannot be read or does not hold still.
    """
    for _ in range(_TRIES):
        hashed = hashlib.sha256()
        with directory.open(path) as file:
            before = os.fstat(file.fileno())
            size = read_chunks(file, _PIECE, hashed.update)
            after = os.fstat(file.fileno())
        if _signature(before) == _signature(after) and size == after.st_size:
            return hashed.digest(), size
    raise SnapshotError(f"code_source: {one_line(path)} changes all the time and cannot be packed")


def _signature(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is written: a write always moves ``ctime``, which nobody can set."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
