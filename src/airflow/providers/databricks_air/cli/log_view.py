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
"""Which part of a run's log a command shows, on top of the reader that the task log has."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.stream import LogNodes, LogStream
from airflow.providers.databricks_air.api.runs.log_tail import last_lines

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.call import Call
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.run.logs.lines import LogLine
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["LogView", "ViewedStream", "perform_all", "read_log"]

T = TypeVar("T")

_QUICK = 2.0


@dataclass(frozen=True)
class LogView:
    """What of a log is wanted.

    :param nodes: ranks of the nodes, or all.
    :param attempt: number of the attempt to begin with; None for the latest.
    :param lines: how many lines that are there already; None for all.
    :param since: epoch seconds of the earliest line; 0 for all.
    """

    nodes: LogNodes = (0,)
    attempt: int | None = None
    lines: int | None = None
    since: float = 0.0

    def of(self, run: Run) -> Run:
        """Return the run with the attempts that are wanted: the chosen one and, while it goes on, later ones."""
        first = self.attempt if self.attempt is not None else (run.latest.number if run.latest else 0)
        return replace(run, attempts=tuple(one for one in run.attempts if one.number >= first))

    def ended(self, run: Run) -> Run:
        """Return the run as though the chosen attempt, which is over, were all of it."""
        chosen = self.of(run).attempts[:1]
        state = chosen[0].state if chosen and not run.is_terminal else run.state
        return replace(run, attempts=chosen, state=state)

    def chosen(self, lines: list[LogLine]) -> list[LogLine]:
        """Return the lines that are recent enough; those without a time are."""
        earliest = self.since * 1e9
        return [line for line in lines if not line.time_ns or line.time_ns >= earliest]


class ViewedStream:
    """A log stream for a watch, which shows a part: of what is there already the last lines, and then all.

    :param run_id: id of the run.
    :param view: what is wanted.
    """

    def __init__(self, run_id: int, view: LogView) -> None:
        self._view = view
        self._stream = LogStream(run_id, view.nodes, longest_delay=_QUICK)
        self._held: deque[LogLine] | None = deque(maxlen=view.lines)

    @property
    def drained(self) -> bool:
        """Whether a finished run has nothing more to say."""
        return self._stream.drained

    @property
    def next_delay(self) -> float:
        """Seconds until asking again is worth while."""
        return self._stream.next_delay

    def poll(self, run: Run) -> Generator[Call[Any], Any, list[LogLine]]:
        """Ask for what is new: yields calls, is sent their answers, returns the lines that are wanted."""
        lines = self._view.chosen((yield from self._stream.poll(self._view.of(run))))
        if self._held is None:
            return lines
        self._held.extend(lines)
        if not self.next_delay and not self.drained:
            # More is there already: which lines are the last ones is not known yet.
            return []
        caught_up, self._held = list(self._held), None
        return caught_up


def read_log(
    client: SyncClient, run: Run, view: LogView, sleep: Callable[[float], None] = time.sleep
) -> Iterator[LogLine]:
    """Read the log of an attempt that is over.

    :param client: the workspace.
    :param run: the run as it is now.
    :param view: what is wanted.
    :param sleep: waits that many seconds.
    """
    ended = view.ended(run)
    if (
        view.lines is not None
        and not view.since
        and view.nodes != "all"
        and len(view.nodes) == 1
        and ended.attempts
    ):
        tail = perform_all(
            client, last_lines(run.run_id, view.nodes[0], ended.attempts[0].number, view.lines)
        )
        if tail:
            yield from tail
            return
    held: deque[LogLine] = deque(maxlen=view.lines)
    for lines in _drain(client, LogStream(run.run_id, view.nodes, longest_delay=_QUICK), ended, sleep):
        held.extend(view.chosen(lines))
        if view.lines is None:
            yield from held
            held.clear()
    yield from held


def _drain(
    client: SyncClient, stream: LogStream, run: Run, sleep: Callable[[float], None]
) -> Iterator[list[LogLine]]:
    while not stream.drained:
        yield perform_all(client, stream.poll(run))
        if not stream.drained:
            sleep(stream.next_delay)


def perform_all(client: SyncClient, steps: Generator[Call[Any], Any, T]) -> T:
    """Perform the calls that a generator wants, and return what it returns."""
    try:
        call = next(steps)
        while True:
            try:
                answer = client.perform(call)
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # of the generator
