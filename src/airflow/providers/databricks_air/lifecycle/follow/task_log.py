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
"""The run's log in the task's log, printed by a triggerer that may go away at any moment.

The position is kept in an XCom a second after lines are printed, when they have left the process: a triggerer
that dies in a quiet moment loses and repeats nothing; one that dies while it prints loses nothing and repeats
what it printed since the last position, a second or two, and the next one says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Literal

from airflow.providers.databricks_air.api.logs.stream import LogCursor, LogStream, parse_log_nodes
from airflow.providers.databricks_air.lifecycle.end.helper_thread import ask_apart
from airflow.providers.databricks_air.lifecycle.owner.record import POSITION_KEY
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.version_compat import (
    LOG_OF_SECOND_TRIGGER_IS_NEW,
    read_own_xcom,
    write_own_xcom,
)

__all__ = ["TAKEN_OVER", "TaskLog"]

ASK_SECONDS = 20.0
ASK_TIMES = 3
TAKEN_OVER = "The triggerer was lost; the next lines of the run's log may have been printed before"
BEGUN_ANEW = "Another trigger follows the run by now; its log begins from the start, which may have been printed before"
LONGEST_TURN = 0.004
CLOCK_EVERY = 8
MANY = 200
# What a scheduler that is behind may need to hear that the process which has deferred the task has ended. Only a run
# that ends in its first moments waits for it, and none on an accelerator does.
WORKER_ENDS = 8.0
# Between a log call and the file there are a queue and a thread (Airflow 2), or a socket and another process
# (Airflow 3), which die with the triggerer: a position that is kept too soon loses lines without a trace.
SETTLED = 1.0
LONGEST_QUEUE = 20.0
PAUSE = 0.05

_under_way: set[asyncio.Task[None]] = set()


class TaskLog:
    """Prints the lines of a run, and keeps the position.

    :param run_id: id of the run.
    :param nodes: ranks of the nodes whose log is printed, or ``"all"``; None prints none.
    :param polling_interval: seconds between two readings of a quiet log.
    """

    def __init__(
        self, run_id: int, nodes: list[int] | Literal["all"] | None, polling_interval: float
    ) -> None:
        self._run_id = run_id
        self._nodes = nodes
        self._polling_interval = polling_interval
        self._stream: LogStream | None = None
        self._newest: LogCursor | None = None
        self._is_behind = self._is_asking = False
        self._keeper: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._is_closed = False
        self._taken_at: float | None = None
        self._ti: Any = None
        self._trigger: int | None = None
        self._log: Any = None

    @property
    def cursor(self) -> LogCursor | None:
        """The position behind what was printed; None where nothing is printed."""
        return self._stream.cursor if self._stream else None

    async def open(self, ti: Any, log: Any, trigger: int | None = None) -> LogStream | None:
        """Return the stream, at the position where the last triggerer left it; None where nothing is printed.

        The first trigger of a try keeps a position at once: the task's process waits for it, see ``hand_over``.

        :param ti: the task instance; None where Airflow gives none.
        :param log: where to print.
        :param trigger: id of the trigger.
        """
        self._ti, self._log, self._trigger = ti, log, trigger
        position = await self._read_position()
        if self._nodes is None:
            return None
        self._stream = LogStream(
            self._run_id, parse_log_nodes(self._nodes), position, longest_delay=self._polling_interval
        )
        return self._stream

    async def print(self, lines: list[LogLine]) -> None:
        """Print lines without holding up the other triggers, then keep the position."""
        left = iter(lines)
        try:
            if len(lines) >= MANY:
                # Reading them has taken a turn already.
                await asyncio.sleep(0)
            await self._print_in_turns(left)
        except asyncio.CancelledError:
            for line in left:
                self._log.info("%s", line.text)
            raise
        if self._stream is not None:
            self._keep_soon(self._stream)

    async def await_worker(self) -> None:
        """Wait until the process that has handed the run over to this trigger may have ended.

        Airflow takes a task for failed that goes on before it has heard of that.
        """
        if self._taken_at is not None:
            await asyncio.sleep(max(0.0, self._taken_at + WORKER_ENDS - time.monotonic()))

    def close(self) -> None:
        """Keep no more positions: whoever goes on gets the last one by hand."""
        self._is_closed = True

    def hand_over(self) -> None:
        """Say, in the position, that nothing was printed behind it: another triggerer goes on from there."""
        self.close()
        if self._stream is not None:
            _spawn(self._write_position(self.cursor, handed_over=True))

    async def _print_in_turns(self, left: Any) -> None:
        turn_ends = time.monotonic() + LONGEST_TURN
        for number, line in enumerate(left, 1):
            self._log.info("%s", line.text)
            if not number % CLOCK_EVERY and time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + LONGEST_TURN

    def _keep_soon(self, stream: LogStream) -> None:
        """Keep the present position once its lines have left this process."""
        stream.printed()
        is_idle = self._keeper is None or self._keeper.done()
        # A position of many nodes takes longer to write down than their lines: only where it is wanted.
        if is_idle or self._is_asking:
            self._newest = stream.cursor
        self._is_behind = True
        if is_idle:
            self._keeper = _spawn(self._keep(stream))

    async def _keep(self, stream: LogStream) -> None:
        while (cursor := await self._position(stream)) is not None:
            await asyncio.sleep(SETTLED)
            if not self._is_closed and await _queues_are_empty():
                await self._write_position(cursor, handed_over=False)

    async def _position(self, stream: LogStream) -> LogCursor | None:
        """Return the position behind what was printed since the last one; None where nothing was."""
        end = time.monotonic() + LONGEST_QUEUE
        while self._newest is None and self._is_behind and not self._is_closed and time.monotonic() < end:
            # From a reading until its lines are printed the stream is ahead of them.
            self._is_asking = stream.is_ahead
            if self._is_asking:
                await asyncio.sleep(PAUSE)
            else:
                self._newest = stream.cursor
        cursor, self._newest = self._newest, None
        self._is_asking = self._is_behind = False
        return cursor

    async def _write_position(self, cursor: LogCursor | None, *, handed_over: bool) -> None:
        if self._ti is None:
            return
        value = {
            "try_number": self._ti.try_number,
            "trigger": self._trigger,
            "cursor": cursor,
            "handed_over": handed_over,
        }
        async with self._writing:
            if self._is_closed and not handed_over:
                return
            try:
                await ask_apart(ASK_SECONDS, write_own_xcom, self._ti, POSITION_KEY, value)
            except Exception as error:  # noqa: BLE001 - the log goes on without; it may repeat lines later
                self._log.debug("The position in the run's log could not be kept: %s", error)

    async def _read_position(self) -> LogCursor | None:
        if self._ti is None:
            return None
        for _ in range(ASK_TIMES):
            try:
                value = await ask_apart(ASK_SECONDS, read_own_xcom, self._ti, POSITION_KEY)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
                trouble = error
                await asyncio.sleep(1)
                continue
            # A position of an earlier try says what that try's log has, not this one's.
            if isinstance(value, dict) and value.get("try_number") == self._ti.try_number:
                return self._cursor_of(value)
            self._taken_at = time.monotonic()
            _spawn(self._write_position(None, handed_over=True))
            return None
        self._log.warning(
            "Airflow does not tell how far the run's log was printed; lines may repeat: %s", trouble
        )
        return None

    def _cursor_of(self, position: dict[str, Any]) -> LogCursor | None:
        """Return where the log of this try goes on."""
        if LOG_OF_SECOND_TRIGGER_IS_NEW and position.get("trigger", self._trigger) != self._trigger:
            self._taken_at = time.monotonic()
            self._log.info("%s", BEGUN_ANEW)
            return None
        if not position.get("handed_over"):
            self._log.info("%s", TAKEN_OVER)
        cursor: LogCursor | None = position.get("cursor")
        return cursor


def _spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task of its own: a cancellation must not leave printed lines without a position."""
    task = asyncio.create_task(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task


async def _queues_are_empty() -> bool:
    """Wait until no log record waits for the thread that writes it; False when that takes too long."""
    queues = [handler.queue for handler in logging.getLogger().handlers if hasattr(handler, "queue")]
    end = time.monotonic() + LONGEST_QUEUE
    while any(not queue.empty() for queue in queues):
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(PAUSE)
    return True
