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
"""The log of a run, over its nodes and attempts: which source is asked, how often, and until when.

A stream sends nothing itself: ``poll`` says which calls it wants made, so that a worker's thread and a
triggerer's event loop read the same log in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from operator import itemgetter
from typing import Any, Literal

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.logs.feed import LINES_AT_ONCE, LogFeed
from airflow.providers.databricks_air.run.logs.lines import NOTICE, LogLine
from airflow.providers.databricks_air.run.outcome.narration import attempt_of
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run

__all__ = ["LogCursor", "LogNodes", "LogStream", "parse_log_nodes"]

SHORTEST_DELAY = 2.0
DRAIN_DELAY = 1.0
GROWTH = 1.5
LATEST = 60.0
QUIET_SHARE = 0.1
MOST_QUIET = 4.0
VERSION = 1
MOST_AT_ONCE = 1500
"""So many lines of all nodes together hold up the event loop for some milliseconds."""
FEWEST_AT_ONCE = 10
_TIME, _ATTEMPT = itemgetter(LogLine._fields.index("time_ns")), itemgetter(LogLine._fields.index("attempt"))

LogCursor = dict[str, Any]
"""A position in the log of a run: JSON values, a few kilobytes."""

LogNodes = tuple[int, ...] | Literal["all"]
"""The ranks of the nodes to read."""


def parse_log_nodes(value: object) -> LogNodes:
    """Read what an author wrote: a rank, several, or ``"all"``.

    :raises ValueError: when it is none of these.
    """
    if value == "all":
        return "all"
    listed: list[Any] = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    if not listed or not all(type(rank) is int and rank >= 0 for rank in listed):
        raise ValueError(
            f"log_nodes: {value!r} is not a choice of nodes. "
            'Write a rank such as 0, a list such as [0, 3], or "all"'
        )
    return tuple(sorted(set(listed)))


class LogStream:
    """The log lines of a run as they come, each once.

    :param run_id: id of the run.
    :param nodes: ranks of the nodes to read. With more than one, every line says which one it is from.
    :param cursor: where to go on; None for the beginning. One that cannot be read counts as None.
    :param longest_delay: seconds between two polls of a log that has been quiet for minutes, up to four times
        that after hours; below 1 also between those after its end.
    :param now: returns epoch seconds.
    """

    def __init__(
        self,
        run_id: int,
        nodes: LogNodes = (0,),
        cursor: Mapping[str, Any] | None = None,
        *,
        longest_delay: float = 30.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.run_id = run_id
        self.nodes = nodes
        self._longest_delay = longest_delay
        self._now = now
        self._feeds: dict[tuple[int, int], LogFeed] = {}
        self._endpoint_refused = ""
        self._delay = min(SHORTEST_DELAY, self._longest_delay)
        self._drained = False
        self._spoke_at = now()
        self._said: set[str] = set()
        self.is_ahead = False
        """Whether the position may be behind lines that have not been printed: from a poll until ``printed``."""
        if cursor:
            self._go_on(cursor)

    @property
    def drained(self) -> bool:
        """Whether the run is over and nothing more is to be expected."""
        return self._drained

    @property
    def next_delay(self) -> float:
        """Seconds until the next poll is worth while: longer while nothing comes, 0 when more is there."""
        return self._delay

    @property
    def cursor(self) -> LogCursor:
        """The position behind the lines that ``poll`` has returned, for another stream to go on."""
        return {
            "version": VERSION,
            "run_id": self.run_id,
            "refused": self._endpoint_refused,
            "said": sorted(self._said),
            "feeds": [feed.to_json() for feed in self._feeds.values()],
        }

    def poll(self, run: Run) -> Generator[Call[Any], Any, list[LogLine]]:
        """Ask for what is new: yields calls, is sent their answers or thrown their errors.

        Never raises an ``ApiError``: a log that cannot be read says so in a line.

        :param run: the run as it was seen last.
        :return: new lines, oldest first within a node and attempt; some thousands at most.
        """
        self.is_ahead = True
        lines: list[LogLine] = []
        nodes = tuple(range(run.nodes)) if self.nodes == "all" else self.nodes
        for feed, attempt in self._open_feeds(run, nodes):
            if not feed.done:
                if self._endpoint_refused:
                    feed.use_artifacts(self._endpoint_refused)
                feed.most = min(LINES_AT_ONCE, max(FEWEST_AT_ONCE, MOST_AT_ONCE // len(nodes)))
                feed.label = f"[node {feed.node}] " if len(nodes) > 1 else ""
                came = yield from feed.poll(ended=_has_ended(run, attempt), last=run.is_terminal)
                self._endpoint_refused = self._endpoint_refused or feed.refused
                lines += self._announced(run, attempt) if came else ()
                lines += self._switch(feed) if came else ()
                lines += came
        if len(nodes) > 1:
            lines.sort(key=_TIME)
            if len(run.attempts) > 1:
                lines.sort(key=_ATTEMPT)
        self._pace(run, bool(lines))
        if run.is_terminal and all(feed.done for feed in self._feeds.values()):
            self._drained = True
            lines += self._nothing_at_all(run)
        self.is_ahead = bool(lines)
        return lines

    def printed(self) -> None:
        """Hear that all lines that ``poll`` has returned are printed."""
        self.is_ahead = False

    def _open_feeds(self, run: Run, nodes: tuple[int, ...]) -> list[tuple[LogFeed, Attempt]]:
        # An attempt that ended without a start has never written anything.
        started = [
            attempt
            for attempt in run.attempts
            if not attempt.state.is_waiting and (attempt.start_time or not attempt.state.is_terminal)
        ]
        return [(self._feed(node, attempt), attempt) for attempt in started for node in nodes]

    def _feed(self, node: int, attempt: Attempt) -> LogFeed:
        key = (node, attempt.number)
        if key not in self._feeds:
            self._feeds[key] = LogFeed(self.run_id, node, attempt.number, self._now)
            self._delay = min(SHORTEST_DELAY, self._longest_delay)
        feed = self._feeds[key]
        feed.task_run_id = attempt.run_id
        feed.started = attempt.start_time // 1000
        feed.settled = bool(attempt.end_time) and self._now() - attempt.end_time / 1000 > LATEST
        return feed

    def _announced(self, run: Run, attempt: Attempt) -> Iterable[LogLine]:
        """Say once which attempt the next lines are from; the first one needs no saying."""
        text = f"The log of {attempt_of(attempt.ordinal, run.max_retries)} begins here"
        if attempt.number > 0 and text not in self._said:
            self._said.add(text)
            yield LogLine(NOTICE, attempt.number, text)

    def _switch(self, feed: LogFeed) -> Iterable[LogLine]:
        """Say once for all feeds that lines come from the artifacts."""
        if feed.switched and "artifacts" not in self._said:
            self._said.add("artifacts")
            text = f"The log is read from the MLflow run's artifacts from here on ({feed.switched})"
            yield LogLine(NOTICE, feed.attempt, text)

    def _pace(self, run: Run, came: bool) -> None:
        open_feeds = [feed for feed in self._feeds.values() if not feed.done]
        if any(feed.is_behind for feed in open_feeds):
            self._delay = 0.0
        elif run.is_terminal:
            self._delay = min(DRAIN_DELAY, self._longest_delay)
        elif came:
            self._delay = min(SHORTEST_DELAY, self._longest_delay)
            self._spoke_at = self._now()
        else:
            # What has been quiet for an hour need not be read as often as what was quiet for a minute.
            quiet = min(QUIET_SHARE * (self._now() - self._spoke_at), MOST_QUIET * self._longest_delay)
            longest = max(self._longest_delay, quiet)
            self._delay = min(max(self._delay, DRAIN_DELAY) * GROWTH, longest)
        self._delay = max([self._delay, *(feed.pause for feed in open_feeds)])

    def _nothing_at_all(self, run: Run) -> Iterable[LogLine]:
        if "nothing" in self._said or any(feed.printed for feed in self._feeds.values()):
            return
        self._said.add("nothing")
        why = f": {run.state.message}" if run.state.message else ""
        text = f"No logs available for run {run.run_id}. Run terminated in state {run.state.word}{why}"
        yield LogLine(NOTICE, run.latest.number if run.latest else 0, text)

    def _go_on(self, cursor: Mapping[str, Any]) -> None:
        """Take up a position; one of another run or version is no position."""
        if cursor.get("version") != VERSION or cursor.get("run_id") != self.run_id:
            return
        try:
            feeds = [LogFeed.from_json(self.run_id, value, self._now) for value in cursor["feeds"]]
        except (KeyError, TypeError, ValueError, IndexError):
            return
        self._endpoint_refused = str(cursor.get("refused") or "")
        self._said = set(cursor.get("said") or ())
        self._feeds = {(feed.node, feed.attempt): feed for feed in feeds}


def _has_ended(run: Run, attempt: Attempt) -> bool:
    newer = run.latest is not None and run.latest.number > attempt.number
    return run.is_terminal or newer or attempt.state.is_terminal
