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
"""The processes of all runs: started together, watched by one ticker, ended as groups."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from databricks_air_local.engine.launch import CommandError, Launcher, Place
from databricks_air_local.engine.node import (
    KILLED,
    VERDICT,
    NodeProcess,
    NodeSpec,
    can_sweep,
    kill_marked,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databricks_air_local.engine.streams import Streams
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.state.site import Settings

__all__ = ["LOST", "Nodes", "Outcome"]

logger = logging.getLogger(__name__)

_TICK = 0.03
_QUIET = 0.005
#: Pieces of output that are taken from one node before the next one has its turn.
_MOST_READS = 256
#: Seconds after a request in which another one, or more of it, is likely.
_LATELY = 0.05
_MOST_PAUSES = 5
_LOST_MESSAGE = "The local AI Runtime stopped while this attempt was running"
_SETUP_MESSAGE = "Failed to install the dependencies, see run output for details"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    :param result: result state.
    :param message: state message; the service's generic one when empty.
    :param code: termination code, when it is not the usual one of the result.
    """

    result: str
    message: str = ""
    code: str = ""


LOST = Outcome("FAILED", _LOST_MESSAGE, "CLOUD_FAILURE")


@dataclass(eq=False)
class _Node:
    process: NodeProcess
    run_id: int
    attempt: int
    rank: int
    ended: asyncio.Future[int | str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    #: Its log is too long, and whether the line about its end came nevertheless.
    cut: bool = False
    verdict: bool = False


class Nodes:
    """Runs the commands of nodes and reads what they print.

    :param launcher: lays them out.
    :param streams: takes their lines.
    """

    def __init__(self, launcher: Launcher, streams: Streams, clock: Clock, settings: Settings) -> None:
        self._launcher = launcher
        self._streams = streams
        self._clock = clock
        self._settings = settings
        self._last_request = 0.0
        self._live: set[_Node] = set()
        self._ended: list[tuple[_Node, int | str]] = []
        self._ticker: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="air-prepare")
        self._read_end, self._write_end = os.pipe()
        self._gate = asyncio.Lock()
        self._released = False
        self._turn = 0
        if not can_sweep():
            logger.warning(
                "This system has no /proc: limits of memory and processors may have no effect, and a process "
                "that leaves its group may outlive its run"
            )

    @property
    def alive(self) -> int:
        """Return the number of node processes that run now."""
        return len(self._live)

    async def run(self, run: Run, attempt: Attempt) -> Outcome:
        """Run the command of every node and return how it went; cancelling kills all of them."""
        loop = asyncio.get_running_loop()
        nodes: list[_Node] = []
        try:
            specs = await loop.run_in_executor(self._pool, self._prepare, run, attempt)
            for rank, spec in enumerate(specs):
                nodes.append(self._watch(self._start(spec), run, attempt, rank))
        except CommandError as error:
            await self._end(nodes)
            self._streams.say(run.run_id, attempt.number, 0, f"ERROR: {error}")
            return Outcome("FAILED", str(error), "INVALID_RUN_CONFIGURATION")
        return await self._follow(nodes)

    def _start(self, spec: NodeSpec) -> NodeProcess:
        try:
            return NodeProcess.start(spec, self._read_end)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            size = sum(len(name) + len(value) for name, value in spec.variables.items())
            raise CommandError(
                f"The environment variables have {size:,} characters together; this machine starts no process "
                "with so many: put values into files"
            ) from None

    def preamble(self, run: Run) -> list[str]:
        """Return the lines that the platform writes before the command's own."""
        return self._launcher.preamble(run)

    def request_came(self) -> None:
        """Note that somebody asks the server for something just now."""
        self._last_request = time.monotonic()

    async def turn(self) -> None:
        """Return when a process may be started: starting one blocks the server, so requests go first."""
        async with self._gate:
            for _ in range(_MOST_PAUSES):
                if time.monotonic() - self._last_request > _QUIET:
                    break
                await asyncio.sleep(_QUIET)

    async def adopt(self, run: Run, attempt: Attempt) -> Outcome:
        """Go on with what an earlier server started: ended, still running, or lost with it."""
        processes: list[NodeProcess] = []
        for rank in range(run.nodes):
            process = NodeProcess.found(self._launcher.directory(run.run_id, attempt.number, rank))
            if process is None:
                for other in processes:
                    other.close()
                return LOST
            process.seek(self._streams.get(run.run_id, attempt.number, rank).consumed)
            processes.append(process)
        if not self._settings.keep_runs:
            for process in processes:
                process.kill()
        nodes = [self._watch(process, run, attempt, rank) for rank, process in enumerate(processes)]
        outcome = await self._follow(nodes)
        return LOST if any(node.ended.result() == KILLED for node in nodes) else outcome

    async def _follow(self, nodes: Sequence[_Node]) -> Outcome:
        try:
            pending = {node.ended for node in nodes}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if any(future.result() for future in done):
                    break
        finally:
            await self._end(nodes)
        statuses = [node.ended.result() for node in nodes]
        if "setup" in statuses:
            return Outcome("FAILED", _SETUP_MESSAGE, "LIBRARY_INSTALLATION_ERROR")
        return Outcome("FAILED" if any(statuses) else "SUCCESS")

    def _watch(self, process: NodeProcess, run: Run, attempt: Attempt, rank: int) -> _Node:
        node = _Node(process, run.run_id, attempt.number, rank)
        self._live.add(node)
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.create_task(self._tick())
        return node

    def release(self) -> None:
        """Let go of what runs: it will outlive the server."""
        self._released = True

    async def _end(self, nodes: Sequence[_Node]) -> None:
        if self._released:
            return
        for node in nodes:
            if not node.ended.done():
                node.process.kill()
        await asyncio.gather(*(asyncio.shield(node.ended) for node in nodes))

    async def _tick(self) -> None:
        while self._live:
            for node in list(self._live):
                for _ in range(_MOST_READS):
                    if not self._look(node):
                        break
                    # Requests go on between two pieces of a long output; each needs the loop several times.
                    lately = time.monotonic() - self._last_request < _LATELY
                    await asyncio.sleep(_QUIET if lately else 0)
            if self._ended:
                await self._sweep()
            await asyncio.sleep(_TICK)

    async def _sweep(self) -> None:
        """Tell the ends of nodes once nothing is left of them; one look at the processes for all."""
        ended, self._ended = self._ended, []
        marks = {node.process.mark for node, _ in ended}
        await asyncio.get_running_loop().run_in_executor(self._pool, kill_marked, marks)
        for node, status in ended:
            node.ended.set_result(status)

    def _look(self, node: _Node) -> bool:
        """Take what a node printed, and note its end; return whether there may be more of it."""
        status = node.process.poll()
        lines = node.process.read_lines(final=status is not None)
        if lines:
            self._keep(node, lines)
        elif status is not None and node.process.at_end:
            node.process.close()
            self._live.discard(node)
            self._ended.append((node, status))
            if node.cut and not node.verdict and isinstance(status, int) and status > 0:
                self._streams.say(node.run_id, node.attempt, node.rank, f"{VERDICT} {status}")
        return bool(lines) or not node.process.at_end

    def _keep(self, node: _Node, lines: list[tuple[str, int]]) -> None:
        """Write lines to the log of a node, as long as that is not too long; how the command ended always."""
        stream, limit = self._streams.get(node.run_id, node.attempt, node.rank), self._settings.log_limit
        node.cut = stream.size >= limit
        if node.cut:
            lines = [line for line in lines if line[0].startswith(VERDICT)]
            node.verdict = node.verdict or bool(lines)
            node.process.discard()
        stream.extend(lines, self._clock.now())
        if not node.cut and stream.size >= limit:
            words = f"The log of this node is longer than {limit:,} bytes: what follows is not kept (--log-limit)."
            stream.extend([(words, stream.consumed)], self._clock.now())

    def _prepare(self, run: Run, attempt: Attempt) -> list[NodeSpec]:
        """Lay out the directories of an attempt; runs in a worker thread."""
        paths = run.commands
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return [
            self._launcher.prepare(run, attempt, Place(rank, len(paths), port, path), self._processors())
            for rank, path in enumerate(paths)
        ]

    def _processors(self) -> str:
        """Return the next processors in turn, as many as a node may use."""
        wanted, there = self._settings.cpus, os.cpu_count() or 1
        if not wanted or wanted >= there:
            return ""
        first, self._turn = self._turn, (self._turn + wanted) % there
        return ",".join(str((first + offset) % there) for offset in range(wanted))

    async def close(self) -> None:
        """Kill what still runs, unless it may outlive the server, and release everything."""
        await self._end(list(self._live))
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        for node in self._live:
            node.process.close()
        self._pool.shutdown(wait=True)
        os.close(self._write_end)
        os.close(self._read_end)
