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
"""Reads the log of one node and attempt from the service's log endpoint."""

from __future__ import annotations

from collections.abc import Callable, Generator
from operator import itemgetter
from typing import Any, ClassVar

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import LogPage, log_page
from airflow.providers.databricks_air.run.logs.lines import NOTICE, SECOND, LogLine, LogRecord, NodeLog

__all__ = ["PageSource"]

TIMEOUT = 30.0


class PageSource:
    """The log endpoint, seen from one node and attempt.

    :param run_id: id of the run.
    :param log: what was printed already.
    :param now: returns epoch seconds.
    """

    kind: ClassVar[str] = "pages"

    def __init__(self, run_id: int, log: NodeLog, now: Callable[[], float]) -> None:
        self.log = log
        self._run_id = run_id
        self._now = now
        self._token = ""
        self._since = 0
        self._waiting: list[LogRecord] = []
        self._reached = 0

    @property
    def printed(self) -> int:
        """How many records were printed."""
        return self.log.printed

    @property
    def is_behind(self) -> bool:
        """Whether there are more pages to read at once."""
        return bool(self._token or self._waiting) or self.log.recalling

    def read(self, most: int, *, ended: bool = False) -> Generator[Call[Any], Any, list[LogLine]]:
        """Return the next new lines, some hundreds at most: so many are repeated if the printer dies.

        :param most: how many are enough.
        :param ended: whether the attempt is over.
        :raises ApiError: when a page cannot be read. The next ``read`` starts the reading anew: a token
            may be what the service no longer likes.
        """
        lines: list[LogLine] = []
        try:
            if self.log.recalling:
                lines += yield from self._recall()
            while len(lines) < most:
                if not self._waiting:
                    yield from self._next_page(ended)
                taken = self._waiting[: -most - 1 : -1]
                del self._waiting[-most:]
                if taken:
                    self._reached = taken[-1][0] // SECOND
                    lines += self.log.take(taken)
                if not self._token and not self._waiting:
                    self.log.rest(self._now())
                    return lines
        except ApiError:
            self._token = ""
            self.log.start_again()
            # What was taken must be printed; if the trouble stays, the next reading meets it.
            if not lines:
                raise
        self.log.rest(self._now(), self._reached)
        return lines

    def _next_page(self, ended: bool) -> Generator[Call[Any], Any, None]:
        if not self._token:
            self._since = self._reached = self.log.since(self._now(), whole=ended)
        page: LogPage = yield self._page(self._since, self._token)
        # A token that comes again would come for ever.
        self._token = page.next_token if page.next_token != self._token else ""
        # The oldest last, where taking away costs least.
        self._waiting = sorted(page.records, key=itemgetter(0))[::-1]

    def _recall(self) -> Generator[Call[Any], Any, list[LogLine]]:
        token, more = "", True
        while more:
            page: LogPage = yield self._page(self.log.floor, token)
            before = self.log.recall(page.records)
            more = page.next_token not in {"", token} and (before or not page.records)
            token = page.next_token
        doubtful = self.log.settle()
        if not doubtful:
            return []
        text = f"Log of node {self.log.node}: up to {doubtful} of the next lines may have been printed before"
        return [LogLine(NOTICE, self.log.attempt, text)]

    def _page(self, since: int, token: str) -> Call[LogPage]:
        call = log_page(self._run_id, self.log.node, self.log.attempt, since=since, token=token)
        return call.once(timeout=TIMEOUT)

    def to_json(self) -> list[Any]:
        """Return the position as JSON values."""
        return self.log.to_json()
