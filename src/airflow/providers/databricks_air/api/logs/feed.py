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
"""The log of one node in one attempt: from the endpoint, or from the artifacts where that cannot help."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.mlflow import ChunkSource
from airflow.providers.databricks_air.api.logs.pages import PageSource
from airflow.providers.databricks_air.run.logs.lines import NOTICE, OVERLAP, LogLine, NodeLog

__all__ = ["LINES_AT_ONCE", "LogFeed"]

LINES_AT_ONCE = 200
"""So many lines of a node are enough for one reading."""
EMPTY_POLLS_AT_END = 3
EMPTY_POLLS_BEFORE_LOOKING = 10
FAILURES_BELIEVED = 5
FAILURE_DELAY = 3.0
LONGEST_FAILURE_DELAY = 60.0
CLOCK_MARGIN = 120
"""Seconds before the start of an attempt at which a node's clock may place its first lines."""


class LogFeed:
    """What is read of the log of one node in one attempt.

    :param run_id: id of the run.
    :param node: rank of the node.
    :param attempt: number of the attempt.
    :param now: returns epoch seconds.
    """

    def __init__(self, run_id: int, node: int, attempt: int, now: Callable[[], float]) -> None:
        self.node = node
        self.attempt = attempt
        self.done = False
        self.task_run_id = 0
        self.started = 0
        self.settled = False
        """Whether the attempt ended so long ago that nothing can be late any more."""
        self.refused = ""
        """Why the workspace has no log endpoint; empty while it has one."""
        self.label = ""
        """What each line begins with: which node it is from, where several are read."""
        self.most = LINES_AT_ONCE
        """How many lines of a reading are enough."""
        self.switched = ""
        """Why the artifacts are read instead of the endpoint; empty while they are not."""
        self._pages: PageSource | None = PageSource(run_id, NodeLog(node, attempt), now)
        self._chunks: ChunkSource | None = None
        self._printed_before = 0
        self._now = now
        self._ended = False
        self._ended_at = 0.0
        self._last = False
        self._empty = 0
        self._failures = 0
        self._asked_to_wait = 0.0
        self._trouble = ""

    @property
    def printed(self) -> int:
        """How many records were printed, from either source."""
        current = self._pages or self._chunks
        return self._printed_before + (current.printed if current else 0)

    @property
    def is_behind(self) -> bool:
        """Whether the next poll brings more at once."""
        source = self._pages or self._chunks
        return not self._failures and source is not None and source.is_behind

    @property
    def pause(self) -> float:
        """Seconds to leave the source alone because it failed; 0 when it did not."""
        if not self._failures or self.done:
            return 0.0
        grown: float = FAILURE_DELAY * 2 ** min(self._failures - 1, 10)
        return max(self._asked_to_wait, min(grown, LONGEST_FAILURE_DELAY))

    def use_artifacts(self, why: str) -> None:
        """Read from the artifacts from now on, beginning behind what was printed.

        :param why: what the endpoint cannot do.
        """
        if self._pages is not None:
            self.switched = why
            self._printed_before = self._pages.printed
            self._chunks = self._chunk_source()
            self._pages = None
            self._empty = self._failures = 0

    def poll(self, *, ended: bool, last: bool) -> Generator[Call[Any], Any, list[LogLine]]:
        """Return the next new lines.

        :param ended: whether the attempt is over.
        :param last: whether nothing but this log keeps the reader waiting: late lines get less time then.
        """
        if ended and not self._ended:
            self._ended, self._ended_at, self._empty = True, self._now(), 0
        if last and not self._last:
            self._last, self._failures = True, 0
        try:
            lines = yield from self._read()
        except ApiError as error:
            return (yield from self._failed(error))
        self._failures = 0
        recovered = self._recovery()
        self._empty = 0 if lines else self._empty + 1
        if self._ended and self._is_silent():
            self._finish()
        elif self._may_look_for_artifacts():
            yield from self._look_for_artifacts()
        return [*recovered, *lines]

    def _is_silent(self) -> bool:
        """Whether a finished attempt has said nothing for long enough."""
        if self.is_behind:
            return False
        if self.settled:
            return self._empty > 0
        return self._empty >= EMPTY_POLLS_AT_END and (self._last or self._now() >= self._ended_at + OVERLAP)

    def _read(self) -> Generator[Call[Any], Any, list[LogLine]]:
        if self._pages is not None:
            if not self._pages.log.floor and self.started:
                self._pages.log.floor = max(0, self.started - CLOCK_MARGIN)
            self._pages.log.label = self.label
            return (yield from self._pages.read(self.most, ended=self._ended))
        if self._chunks is None:
            self._chunks = self._chunk_source()
        self._chunks.task_run_id, self._chunks.label = self.task_run_id, self.label
        return (yield from self._chunks.read(ended=self._ended))

    def _finish(self) -> None:
        """End here, or ask the artifacts once more when the endpoint had nothing."""
        if self._pages is not None and not self._pages.printed:
            self.use_artifacts("the log endpoint has nothing")
        else:
            self.done = True

    def _failed(self, error: ApiError) -> Generator[Call[Any], Any, list[LogLine]]:
        if self._pages is not None and _is_refusal(error):
            self.refused = f"{error.error_code or error.status} from the log endpoint"
            self.use_artifacts(self.refused)
            return []
        self._failures += 1
        self._asked_to_wait = min(error.retry_after or 0.0, LONGEST_FAILURE_DELAY)
        if self._failures < FAILURES_BELIEVED:
            return []
        if self._pages is None:
            self.done = self._last
        elif self._last:
            self.use_artifacts("the log endpoint fails")
        elif not self.printed:
            yield from self._look_for_artifacts()
        return self._say_trouble(error)

    def _say_trouble(self, error: ApiError) -> list[LogLine]:
        if self._trouble:
            return []
        self._trouble = str(error)
        return [LogLine(NOTICE, self.attempt, f"The log of node {self.node} cannot be read now: {error}")]

    def _recovery(self) -> list[LogLine]:
        if not self._trouble:
            return []
        self._trouble = ""
        return [LogLine(NOTICE, self.attempt, f"The log of node {self.node} can be read again")]

    def _may_look_for_artifacts(self) -> bool:
        return (
            self._pages is not None
            and not self._ended
            and not self._pages.printed
            and self._empty % EMPTY_POLLS_BEFORE_LOOKING == 0
            and self._empty > 0
        )

    def _look_for_artifacts(self) -> Generator[Call[Any], Any, None]:
        """Change over if the endpoint has nothing although the artifacts have."""
        chunks = self._chunk_source()
        try:
            found = yield from chunks.exists()
        except ApiError:
            return
        if found:
            self.use_artifacts("the log endpoint has nothing")
            self._chunks = chunks

    def _chunk_source(self) -> ChunkSource:
        return ChunkSource(self.node, self.attempt, self.task_run_id, skip=self.printed)

    def to_json(self) -> list[Any]:
        """Return the position as JSON values."""
        source = self._pages or self._chunks
        position = source.to_json() if source and not self.done else []
        kind = "done" if self.done else source.kind if source else "chunks"
        return [self.node, self.attempt, kind, self.printed, position]

    @classmethod
    def from_json(cls, run_id: int, value: list[Any], now: Callable[[], float]) -> LogFeed:
        """Return the feed at a position made by ``to_json``.

        :raises ValueError: when it is not one.
        """
        node, attempt, kind, printed, position = value
        feed = cls(run_id, int(node), int(attempt), now)
        if kind == "pages":
            feed._pages = PageSource(run_id, NodeLog.from_json(feed.node, feed.attempt, position), now)
            return feed
        feed._pages = None
        feed._printed_before = int(printed)
        feed.done = kind == "done"
        if kind == "chunks" and position:
            feed._chunks = ChunkSource(feed.node, feed.attempt, 0)
            feed._chunks.go_on(position)
            feed._printed_before -= feed._chunks.printed
        return feed


def _is_refusal(error: ApiError) -> bool:
    """Whether the workspace has no log endpoint, for this run at least."""
    return error.status == 404 or error.error_code in {"FEATURE_DISABLED", "ENDPOINT_NOT_FOUND"}
