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
"""The lines of one node of one attempt: kept in the order they arrived, read by time."""

from __future__ import annotations

import json
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from databricks_air_local.script.log_faults import LogFaults
    from databricks_air_local.script.scenario import Script
    from databricks_air_local.state.clock import Clock

__all__ = ["Record", "Stream", "Streams"]

_OPEN_STREAMS = 512
_CHUNK_SIZE = 4 * 1024 * 1024


class Record(NamedTuple):
    """One line.

    :param position: place in the stream.
    :param time: nanoseconds since the epoch.
    :param body: the line without its end.
    :param record_id: stable across restarts of the server.
    """

    position: int
    time: int
    body: str
    record_id: str


@dataclass
class _Chunk:
    first: int
    size: int = 0


class Stream:
    """An append-only file of records and an index of it in memory (16 bytes a line).

    :param path: the file; read when it exists.
    :param name: beginning of the record ids.
    """

    def __init__(self, path: Path, name: str, faults: LogFaults) -> None:
        self._path = path
        self._name = name
        self._faults = faults
        self._times = array("q")
        self._offsets = array("q")
        self._visible: dict[int, float] = {}
        self._chunks: list[_Chunk] = []
        self._end = 0
        self.consumed = 0
        self._newest = 0
        self._serial = 0
        if path.exists():
            self._load()

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._times)

    def _load(self) -> None:
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the server died in the middle of this record; the raw output still has the line
                record = json.loads(line)
                self._note(record, len(line))
        with self._path.open("ab") as file:
            file.truncate(self._end)

    def _note(self, record: dict[str, Any], size: int) -> None:
        at, offset, serial = record["t"], record["o"], record["i"]
        if "v" in record:
            self._visible[len(self._times)] = record["v"]
        self._times.append(at)
        self._offsets.append(self._end)
        self._end += size
        self.consumed = max(self.consumed, offset)
        self._newest = max(self._newest, at)
        if serial >= self._serial:
            self._serial = serial + 1
        if "d" not in record:
            self._note_text(len(record["b"].encode("utf-8", "replace")) + 1)

    def _note_text(self, size: int) -> None:
        if not self._chunks or self._chunks[-1].size >= _CHUNK_SIZE:
            self._chunks.append(_Chunk(len(self._times) - 1))
        self._chunks[-1].size += size

    def chunk_sizes(self) -> list[int]:
        """Return the bytes of each chunk: the text in pieces of about 4 MiB, cut between lines.

        Chunks only grow, and only the last one does: whatever is late comes last.
        """
        return [chunk.size for chunk in self._chunks]

    def chunk(self, index: int) -> bytes:
        """Return the text of a chunk, all that arrived so far: a line that the endpoint shows late is in it."""
        first = self._chunks[index].first
        last = self._chunks[index + 1].first if index + 1 < len(self._chunks) else len(self._times)
        with self._path.open("rb") as file:
            file.seek(self._offsets[first])
            records = [json.loads(file.readline()) for _ in range(first, last)]
        lines = (record["b"] + "\n" for record in records if "d" not in record)
        return "".join(lines).encode("utf-8", "replace")

    def extend(self, lines: Iterable[tuple[str, int]], now: float) -> None:
        """Append lines that arrived now.

        :param lines: text and the end of the line in the raw output.
        :param now: seconds since the epoch.
        """
        records: list[dict[str, Any]] = []
        for body, offset in lines:
            self._newest = max(self._newest + 1, int(now * 1e9))
            records.append({"t": self._newest, "b": body, "o": offset, "i": self._serial + len(records)})
        self._write(self._disturb(records, now))

    def insert(self, body: str, at: float) -> None:
        """Append a line with a time of its own, as a record does that was late."""
        self._write([{"t": int(at * 1e9), "b": body, "i": self._serial, "o": self.consumed}])

    def _disturb(self, records: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
        faults = self._faults
        disturbed: list[dict[str, Any]] = []
        for record in records:
            number = record["i"] + 1
            if faults.late_every and number % faults.late_every == 0:
                record["v"] = now + faults.late
            disturbed.append(record)
            if faults.disorder_every and number % faults.disorder_every == 0 and len(disturbed) > 1:
                disturbed[-2], disturbed[-1] = disturbed[-1], disturbed[-2]
            if faults.duplicate_every and number % faults.duplicate_every == 0:
                disturbed.append({**record, "d": True})
        return disturbed

    def _write(self, records: list[dict[str, Any]]) -> None:
        if not records:
            return
        lines = [_encoded(record) for record in records]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.writelines(lines)
        for record, line in zip(records, lines, strict=True):
            self._note(record, len(line))

    def select(
        self, since: int, until: int, *, ascending: bool, start: int | None, now: float
    ) -> Iterator[Record]:
        """Return the records between two times that can be seen already.

        :param since: nanoseconds, inclusive.
        :param until: nanoseconds, exclusive.
        :param start: position to go on from; the end of the chosen direction when ``None``.
        :param now: seconds since the epoch, for records that are late.
        """
        size = len(self._times)
        if ascending:
            positions = range(min(start or 0, size), size)
        else:
            positions = range(min(size - 1 if start is None else start, size - 1), -1, -1)
        if not size:
            return
        with self._path.open("rb") as file:
            for position in positions:
                if not since <= self._times[position] < until or self._visible.get(position, 0) > now:
                    continue
                file.seek(self._offsets[position])
                yield self._record(position, json.loads(file.readline()))

    def _record(self, position: int, record: dict[str, Any]) -> Record:
        name = f"{self._name}-{record['i']}" if self._faults.record_ids else ""
        return Record(position, record["t"], record["b"], name)


def _encoded(record: dict[str, Any]) -> bytes:
    """Return a record as a line of JSON: a run prints a million of them, so this is written out."""
    if "v" in record or "d" in record:
        return json.dumps(record).encode() + b"\n"
    text = json.dumps(record["b"])
    return f'{{"t": {record["t"]}, "b": {text}, "o": {record["o"]}, "i": {record["i"]}}}\n'.encode()


class Streams:
    """All streams, opened when asked for.

    :param directory: the runs' directory.
    :param clock: the time that the lines of the platform carry.
    :param script: holds the faults of the streams that begin from now on.
    """

    def __init__(self, directory: Path, clock: Clock, script: Script) -> None:
        self._directory = directory
        self._clock = clock
        self._script = script
        self._open: OrderedDict[tuple[int, int, int], Stream] = OrderedDict()

    def get(self, run_id: int, attempt: int, node: int) -> Stream:
        """Return the stream of one node of one attempt."""
        key = (run_id, attempt, node)
        stream = self._open.get(key)
        if stream is None:
            path = self._directory / str(run_id) / f"attempt_{attempt}" / f"node_{node}.jsonl"
            stream = self._open[key] = Stream(path, f"{run_id}-{attempt}-{node}", self._script.logs)
            if len(self._open) > _OPEN_STREAMS:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return stream

    def say(self, run_id: int, attempt: int, node: int, *lines: str) -> None:
        """Append lines of the platform's own."""
        stream = self.get(run_id, attempt, node)
        stream.extend(((line, stream.consumed) for line in lines), self._clock.now())
