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
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from airflow.providers.databricks_air.run.logs.digest import Digest, printed_of, record_key
from airflow.providers.databricks_air.run.logs.text import are_plain, safe_lines

__all__ = ["NOTICE", "OVERLAP", "SECOND", "LogLine", "LogRecord", "NodeLog", "log_records"]

OVERLAP = 30
"""Seconds by which a record may be late, and still be printed."""

MOST_REMEMBERED = 200_000
BUSY = 2_000
SWEEP_EVERY = 10
QUICK_OVERLAP = 2
NOTICE = -1
"""The node of a line that is said by this package and not by the run."""

SECOND = 1_000_000_000
_time = itemgetter(0)


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


LogRecord = tuple[int, int, str]
"""One record: epoch nanoseconds of the event (0 for none), its key (see ``record_key``), and the line."""


def log_records(raws: Iterable[Any]) -> list[LogRecord]:
    """Read the elements of ``log_records``; a field that is missing or unreadable is empty.

    A record without ``record_id`` (older services) is named by its time and its text, so that of two
    equal lines of the same nanosecond only one is printed.
    """
    # Plain tuples: the garbage collector forgets them at its first look, unlike those of a class.
    records: list[LogRecord] = []
    append = records.append
    for raw in raws:
        try:
            # The shape that all but the oldest services send; what else there may be costs time.
            identity, body = raw["record_id"], raw["body"]
            if not identity or type(body) is not str:
                raise ValueError
            append((int(raw["time_unix_nano"]), record_key(identity), body))
        except (TypeError, ValueError, KeyError, AttributeError):
            append(_any_record(raw if isinstance(raw, Mapping) else {}))
    return records


def _any_record(raw: Mapping[str, Any]) -> LogRecord:
    body = raw.get("body")
    text = body if isinstance(body, str) else "" if body is None else str(body)
    try:
        # int64 fields may arrive as JSON strings.
        time_ns = int(raw.get("time_unix_nano") or 0)
    except (TypeError, ValueError):
        time_ns = 0
    identity = raw.get("record_id")
    return time_ns, record_key(str(identity) if identity else f"{time_ns}\n{text}"), text


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
        self.label = ""
        """What each line begins with: which node it is from, where several are read."""
        self.floor = 0
        """The second, since the epoch, from which on records may be new; 0 for all there are."""
        self.newest = 0
        """The latest time of a printed record, epoch nanoseconds."""
        self.printed = 0
        """How many records were printed."""
        self._seen: set[int] = set()
        self._by_second: dict[int, list[int]] = {}
        self._digest = Digest()
        self._recalling = ""
        self._recalled: dict[int, int] = {}
        self._swept_at = 0.0
        self._sweeping = True

    @property
    def recalling(self) -> bool:
        """Whether the records of the last seconds must be read again before anything is printed."""
        return bool(self._recalling)

    def take(self, records: Iterable[LogRecord]) -> list[LogLine]:
        """Return the lines of the records that are new, oldest first.

        :param records: one page, in any order.
        """
        seen, floor_ns = self._seen, self.floor * SECOND
        # By key, so that of a record that came twice in the page one is left.
        new = {each[1]: each for each in records if each[1] not in seen and not 0 < each[0] < floor_ns}
        fresh = sorted(new.values(), key=_time)
        if not fresh:
            return []
        self._remember(fresh)
        node, attempt, label = self.node, self.attempt, self.label
        if are_plain([body for _, _, body in fresh]):
            line = partial(tuple.__new__, LogLine)  # The constructor of the class costs half as much again.
            return [line((node, attempt, label + body, time_ns)) for time_ns, _, body in fresh]
        return [
            LogLine(node, attempt, label + text, time_ns)
            for time_ns, _, body in fresh
            for text in safe_lines(body)
        ]

    def _remember(self, fresh: list[LogRecord]) -> None:
        """Keep the keys of printed records, sorted by time, until the floor has passed them."""
        keys = [each[1] for each in fresh]
        self._seen.update(keys)
        self._digest.add(keys, self._seen)
        self.printed += len(fresh)
        self.newest = max(self.newest, fresh[-1][0])
        self._note_seconds(fresh)
        if len(self._seen) > MOST_REMEMBERED:
            self._forget_oldest()

    def _note_seconds(self, fresh: list[LogRecord]) -> None:
        end, keys = -1, list[int]()
        for time_ns, key, _ in fresh:
            if time_ns >= end:
                second = time_ns // SECOND
                end = (second + 1) * SECOND
                # A record without a time is kept as long as the newest one.
                keys = self._by_second.setdefault(second or self.newest // SECOND, [])
            keys.append(key)

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

    def rest(self, now: float, reached: int | None = None) -> None:
        """Move the floor up to what the current reading has reached.

        :param now: epoch seconds. The clock of a node may have been ahead and set back since.
        :param reached: the second up to which everything was read; None after the last page.
        """
        if self._sweeping:
            latest = self._latest(now) if reached is None else min(self._latest(now), reached)
            self._raise_floor(max(self.floor, latest - OVERLAP))

    def recall(self, records: Iterable[LogRecord]) -> bool:
        """Remember one page of the seconds before the resume; False when no later page can matter."""
        before, floor_ns = False, self.floor * SECOND
        for time_ns, key, _ in records:
            if time_ns <= self.newest and not 0 < time_ns < floor_ns:
                self._recalled[key] = (time_ns or self.newest) // SECOND
                before = True
        return before

    def settle(self) -> int:
        """End the recalling; return how many lines may be printed a second time."""
        printed, doubtful = printed_of(self._recalling, self._recalled)
        for key in printed:
            self._seen.add(key)
            self._by_second.setdefault(self._recalled[key], []).append(key)
        self._digest.add(printed, self._seen)
        self._recalling = ""
        self._recalled = {}
        return doubtful

    def start_again(self) -> None:
        """Forget a recalling that did not come to its end."""
        self._recalled = {}

    def to_json(self) -> list[Any]:
        """Return the position as JSON values."""
        return [self.floor, self.newest, self.printed, self._recalling or self._digest.text(self._seen)]

    @classmethod
    def from_json(cls, node: int, attempt: int, value: list[Any]) -> NodeLog:
        """Return the log at a position made by ``to_json``.

        :raises ValueError: when it is not one.
        """
        log = cls(node, attempt)
        log.floor, log.newest, log.printed = (int(number) for number in value[:3])
        log._recalling = str(value[3])
        printed_of(log._recalling, ())
        return log

    def _latest(self, now: float) -> int:
        return min(self.newest // SECOND, int(now))

    def _raise_floor(self, floor: int) -> None:
        self.floor = floor
        # Insertion order is nearly, not exactly, the order of time.
        by_second = self._by_second
        passed = [second for second in by_second if second < floor]
        keys = [key for second in passed for key in by_second.pop(second)]
        self._seen.difference_update(keys)
        self._digest.remove(keys)

    def _forget_oldest(self) -> None:
        while len(self._seen) > MOST_REMEMBERED and len(self._by_second) > 1:
            self._raise_floor(min(self._by_second) + 1)
