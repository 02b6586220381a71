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
"""The state on disk: small documents by kind and key, and large contents as files."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import time
import uuid
from collections import deque
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Store"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, value REAL, timestamp INTEGER, step INTEGER
);
CREATE INDEX IF NOT EXISTS points_of_run ON points (run, key);
"""
_ID_BLOCK = 1000
#: Seconds between the end of a content and the end of its file.
_GRACE = 60.0


class Store:
    """A directory that holds everything the server must know after it was stopped or killed.

    Documents are written through at once: what a client was told is in the database before the answer
    leaves. SQLite's write-ahead log survives the death of the process; losing the last moments to a power
    cut is accepted.

    Nobody else of the machine may read any of it: the token that is kept here runs commands as its owner.

    :param directory: made when missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.blobs = directory / "blobs"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("blobs", "runs", "environments"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
            (directory / name).chmod(0o700)
        for name in ("lock", "state.db"):  # SQLite gives its other files the mode of this one
            os.close(os.open(directory / name, os.O_CREAT | os.O_RDWR, 0o600))
            (directory / name).chmod(0o600)
        self._dropped: deque[tuple[float, Path]] = deque()
        self._closing = False
        self._lock = self._locked(directory / "lock")
        self._db = sqlite3.connect(directory / "state.db", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)
        self._next = self._limit = int((self.get("meta", "ids") or {}).get("limit", 1_000_000))

    @staticmethod
    def _locked(path: Path) -> IO[bytes]:
        """Return a file that is locked for as long as it is open: the kernel lets go of it when we die."""
        file = path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise OSError(
                errno.EBUSY, "another local AI Runtime uses this directory", str(path.parent)
            ) from None
        return file

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return one document."""
        row = self._db.execute(
            "SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        """Write one document."""
        self._db.execute(
            "INSERT OR REPLACE INTO documents (kind, key, body) VALUES (?, ?, ?)",
            (kind, key, json.dumps(body)),
        )

    def delete(self, kind: str, key: str) -> None:
        """Remove one document, if it is there."""
        self._db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return all documents of a kind by key."""
        rows = self._db.execute(
            "SELECT key, body FROM documents WHERE kind = ? ORDER BY key", (kind,)
        ).fetchall()
        return ((key, json.loads(body)) for key, body in rows)

    def add_points(self, run: str, points: list[tuple[str, float, int, int]]) -> None:
        """Append points of metrics: key, value, timestamp, step."""
        self._db.executemany(
            "INSERT INTO points (run, key, value, timestamp, step) VALUES (?, ?, ?, ?, ?)",
            [(run, *point) for point in points],
        )

    def points(self, run: str, key: str) -> list[tuple[float | None, int, int]]:
        """Return the points of one metric, in the order they came; not-a-number is ``None``."""
        query = "SELECT value, timestamp, step FROM points WHERE run = ? AND key = ? ORDER BY id"
        return self._db.execute(query, (run, key)).fetchall()

    def last_points(self, run: str) -> list[tuple[str, tuple[float | None, int, int]]]:
        """Return the point with the greatest step of every metric of a run."""
        query = (
            "SELECT key, value, timestamp, step FROM points WHERE run = ? ORDER BY key, step, timestamp, id"
        )
        return list(
            {key: (value, at, step) for key, value, at, step in self._db.execute(query, (run,))}.items()
        )

    def drop_points(self, run: str) -> None:
        """Remove the points of all metrics of a run."""
        self._db.execute("DELETE FROM points WHERE run = ?", (run,))

    def next_id(self) -> int:
        """Return a number that was never given before, across restarts too."""
        if self._next >= self._limit:
            self._limit += _ID_BLOCK
            self.put("meta", "ids", {"limit": self._limit})
        self._next += 1
        return self._next

    def new_blob(self) -> Path:
        """Return the path of a new content file; its name has nothing to do with any name a client chose."""
        return self.blobs / uuid.uuid4().hex

    def write_blob(self, content: bytes) -> Path:
        """Store content and return its file."""
        path = self.new_blob()
        path.write_bytes(content)
        return path

    def drop_blob(self, name: str | None) -> None:
        """Remove a content file a minute later, if it is there: a download may just begin to read it."""
        now = time.monotonic()
        if name:
            self._dropped.append((now, self.blobs / name))
        while self._dropped and (self._dropped[0][0] < now - _GRACE or self._closing):
            self._dropped.popleft()[1].unlink(missing_ok=True)

    def sweep_blobs(self, used: set[str]) -> None:
        """Remove the content files that nothing names: uploads cut short by a death of the server."""
        for entry in os.scandir(self.blobs):
            if entry.name not in used:
                os.unlink(entry.path)

    def close(self) -> None:
        """Close the database and let others have the directory."""
        self._closing = True
        self.drop_blob(None)
        self._db.close()
        self._lock.close()
