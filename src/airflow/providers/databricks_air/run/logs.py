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
"""Log records in; lines out, each once and in order, with a position to go on from.

The service stores a record under the time of its event, and may make it findable later than records
with a later time. So every reading starts ``OVERLAP`` seconds before the newest record known, and what
was printed already is left out by its id. A record that appears later than that is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from airflow.providers.databricks_air.run.log_digest import digest_of, printed_of, record_key
from airflow.providers.databricks_air.run.log_text import safe_lines

__all__ = ["NOTICE", "OVERLAP", "LogLine", "LogRecord", "NodeLog", "log_record"]

OVERLAP = 30
"""Seconds by which a record may be late, and still be printed."""

MOST_REMEMBERED = 200_000
BUSY = 2_000
SWEEP_EVERY = 10
QUICK_OVERLAP = 2
NOTICE = -1
"""The node of a line that is said by this package and not by the run."""

SECOND = 1_000_000_000


class LogLine(NamedTuple):
    """One line to print.

    :param node: rank of the node that wrote it; ``NOTICE`` for a remark on the log itself.
    :param attempt: number of the attempt, counted from 0.
    :param text: without line feed and safe to print.
    :param time_ns: when it was written, epoch nanoseconds; 0 where the source has no times.
    """

    node: int
    attempt: int
    text: str
    time_ns: int = 0


class LogRecord(NamedTuple):
    """One record as the service stores it.

    :param time_ns: time of the event, epoch nanoseconds; 0 when the record has none.
    :param key: names the record, the same each time that it is read.
    :param body: the line.
    """

    time_ns: int
    key: int
    body: str


def log_record(raw: Mapping[str, Any]) -> LogRecord:
    """Read one element of ``log_records``; a field that is missing or unreadable is empty.

    A record without ``record_id`` (older services) is named by its time and its text, so that of two
    equal lines of the same nanosecond only one is printed.
    """
    body = raw.get("body")
    text = body if isinstance(body, str) else "" if body is None else str(body)
    try:
        # int64 fields may arrive as JSON strings.
        time_ns = int(raw.get("time_unix_nano") or 0)
    except (TypeError, ValueError):
        time_ns = 0
    identity = raw.get("record_id")
    return LogRecord(time_ns, record_key(str(identity) if identity else f"{time_ns}\n{text}"), text)


class NodeLog:
    """What is known of the log of one node in one attempt.

    Read it from ``since`` on, give every page to ``take``, and call ``rest`` now and then. After a resume,
    while ``recalling``, read from ``floor`` on and give the pages to ``recall`` instead: that reading
    prints nothing and ends in ``settle``.

    :param node: rank of the node.
    :param attempt: number of the attempt.
    """

    def __init__(self, node: int, attempt: int) -> None:
        self.node = node
        self.attempt = attempt
        self.floor = 0
        """The second, since the epoch, from which on records may be new; 0 for all there are."""
        self.newest = 0
        """The latest time of a printed record, epoch nanoseconds."""
        self.printed = 0
        """How many records were printed."""
        self._seen: set[int] = set()
        self._by_second: dict[int, list[int]] = {}
        self._digest = ""
        self._recalled: dict[int, int] = {}
        self._swept_at = 0.0
        self._sweeping = True

    @property
    def recalling(self) -> bool:
        """Whether the records of the last seconds must be read again before anything is printed."""
        return bool(self._digest)

    def take(self, records: Iterable[LogRecord]) -> list[LogLine]:
        """Return the lines of the records that are new, oldest first.

        :param records: one page, in any order.
        """
        seen, floor_ns = self._seen, self.floor * SECOND
        fresh = []
        for record in records:
            time_ns, key, _ = record
            if key in seen or 0 < time_ns < floor_ns:
                continue
            seen.add(key)
            # A record without a time is kept as long as the newest one.
            second = (time_ns or self.newest) // SECOND
            self._by_second.setdefault(second, []).append(key)
            fresh.append(record)
            self.newest = max(self.newest, time_ns)
        fresh.sort(key=_time)
        self.printed += len(fresh)
        if len(seen) > MOST_REMEMBERED:
            self._forget_oldest()
        node, attempt = self.node, self.attempt
        return [
            LogLine(node, attempt, text, time_ns) for time_ns, _, body in fresh for text in safe_lines(body)
        ]

    def since(self, now: float, *, whole: bool = False) -> int:
        """Return the second from which on a new reading should start.

        While a log is busy, only a reading every ``SWEEP_EVERY`` seconds goes back all the way, so that the
        same thousands of records are not read over and over.

        :param now: epoch seconds.
        :param whole: go back all the way in any case.
        """
        self._sweeping = whole or len(self._seen) < BUSY or now - self._swept_at >= SWEEP_EVERY
        if self._sweeping:
            self._swept_at = now
            return self.floor
        return max(self.floor, self._latest(now) - QUICK_OVERLAP)

    def rest(self, now: float) -> None:
        """Move the floor up to what the current reading has reached.

        :param now: epoch seconds. The clock of a node may have been ahead and set back since.
        """
        if self._sweeping:
            self._raise_floor(max(self.floor, self._latest(now) - OVERLAP))

    def recall(self, records: Iterable[LogRecord]) -> bool:
        """Remember one page of the seconds before the resume; False when no later page can matter."""
        before, floor_ns = False, self.floor * SECOND
        for record in records:
            if record.time_ns <= self.newest and not 0 < record.time_ns < floor_ns:
                self._recalled[record.key] = record.time_ns // SECOND
                before = True
        return before

    def settle(self) -> int:
        """End the recalling; return how many lines may be printed a second time."""
        printed, doubtful = printed_of(self._digest, self._recalled)
        for key in printed:
            self._seen.add(key)
            self._by_second.setdefault(self._recalled[key], []).append(key)
        self._digest = ""
        self._recalled = {}
        return doubtful

    def start_again(self) -> None:
        """Forget a recalling that did not come to its end."""
        self._recalled = {}

    def to_json(self) -> list[Any]:
        """Return the position as JSON values."""
        return [self.floor, self.newest, self.printed, self._digest or digest_of(self._seen)]

    @classmethod
    def from_json(cls, node: int, attempt: int, value: list[Any]) -> NodeLog:
        """Return the log at a position made by ``to_json``.

        :raises ValueError: when it is not one.
        """
        log = cls(node, attempt)
        log.floor, log.newest, log.printed = (int(number) for number in value[:3])
        log._digest = str(value[3])
        printed_of(log._digest, ())
        return log

    def _latest(self, now: float) -> int:
        return min(self.newest // SECOND, int(now))

    def _raise_floor(self, floor: int) -> None:
        self.floor = floor
        # Insertion order is nearly, not exactly, the order of time.
        for second in [second for second in self._by_second if second < floor]:
            self._seen.difference_update(self._by_second.pop(second))

    def _forget_oldest(self) -> None:
        while len(self._seen) > MOST_REMEMBERED and len(self._by_second) > 1:
            self._raise_floor(min(self._by_second) + 1)


def _time(record: LogRecord) -> int:
    return record.time_ns
