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
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from databricks_air_local.engine.log_index import LogIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from databricks_air_local.script.log_faults import LogFaults
    from databricks_air_local.script.scenario import Script
    from databricks_air_local.state.clock import Clock

__all__ = ["Record", "Stream", "Streams"]

_OPEN_STREAMS = 512
#: Among so many records at the end of a file is the one that went furthest, whatever was disturbed.
_LAST = 64


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


class Stream:
    """An append-only file of records, with an index beside it: opening one reads no more than its end.

    :param path: the file; gone on with when it exists.
    :param name: beginning of the record ids.
    """

    def __init__(self, path: Path, name: str, faults: LogFaults) -> None:
        self._path = path
        self._name = name
        self._faults = faults
        self._index = LogIndex(path)
        self.consumed = 0
        self._serial = 0
        for _, line in self._index.lines(max(0, len(self._index) - _LAST), len(self._index)):
            self._note(json.loads(line))

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._index)

    @property
    def size(self) -> int:
        """Return the bytes of its text."""
        return self._index.text

    def _note(self, record: dict[str, Any]) -> None:
        self.consumed = max(self.consumed, record["o"])
        self._serial = max(self._serial, record["i"] + 1)

    def chunk_sizes(self) -> list[int]:
        """Return the bytes of each chunk: the text in pieces of about 4 MiB, cut between lines.

        Chunks only grow, and only the last one does: whatever is late comes last.
        """
        return [size for _, _, size in self._index.chunks()]

    def chunk(self, index: int) -> bytes:
        """Return the text of a chunk, all that arrived so far: a line that the endpoint shows late is in it."""
        first, last, _ = self._index.chunks()[index]
        records = (json.loads(line) for _, line in self._index.lines(first, last))
        lines = (record["b"] + "\n" for record in records if "d" not in record)
        return "".join(lines).encode("utf-8", "replace")

    def extend(self, lines: Iterable[tuple[str, int]], now: float) -> None:
        """Append lines that arrived now.

        :param lines: text and the end of the line in the raw output.
        :param now: seconds since the epoch.
        """
        records: list[dict[str, Any]] = []
        newest, at = self._index.newest, int(now * 1e9)
        for body, offset in lines:
            newest = max(newest + 1, at)
            records.append({"t": newest, "b": body, "o": offset, "i": self._serial + len(records)})
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
        if records:
            self._index.append([(record, _encoded(record)) for record in records])
        for record in records:
            self._note(record)

    def select(
        self, since: int, until: int, *, ascending: bool, start: int | None, now: float
    ) -> Iterator[Record]:
        """Return the records between two times that can be seen already.

        :param since: nanoseconds, inclusive.
        :param until: nanoseconds, exclusive.
        :param start: position to go on from; the end of the chosen direction when ``None``.
        :param now: seconds since the epoch, for records that are late.
        """
        last = len(self) - 1 if start is None else min(start, len(self) - 1)
        for block in self._index.blocks(since, until, ascending=ascending, start=start):
            first = max(block[0], start or 0) if ascending else block[0]
            end = block[1] if ascending else min(block[1], last + 1)
            found = self._index.lines(first, end, since, until)
            for position, line in found if ascending else reversed(found):
                record = json.loads(line)
                if record.get("v", 0) <= now:
                    name = f"{self._name}-{record['i']}" if self._faults.record_ids else ""
                    yield Record(position, record["t"], record["b"], name)


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

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

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

    def forget(self, run_id: int) -> None:
        """Let go of the streams of a run that is removed."""
        for key in [key for key in self._open if key[0] == run_id]:
            del self._open[key]

    def say(self, run_id: int, attempt: int, node: int, *lines: str) -> None:
        """Append lines of the platform's own."""
        stream = self.get(run_id, attempt, node)
        stream.extend(((line, stream.consumed) for line in lines), self._clock.now())
