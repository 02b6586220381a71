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
"""The log endpoint."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import malformed, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from databricks_air_local.engine.streams import Record, Streams
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Run, Runs

__all__ = ["Logs"]

_DEFAULT_PAGE = 1000
#: More takes longer than other requests should wait; a client that wants more goes on with the token.
_LARGEST_PAGE = 2000
_NO_END = 2**62
#: Records that are read before other requests have their turn.
_STEP = 500


def _attempt_number(run: Run, request: Request) -> int:
    number = request.number("ref.attempt_number", run.last.number)
    if not 0 <= number < len(run.attempts):
        raise missing(f"Run {run.run_id} has no attempt {number}")
    return number


def _position(token: str) -> int:
    if token[:1] != "p" or not token[1:].isascii() or not token[1:].isdigit() or len(token) > 18:
        raise malformed("page_token is not a token of this endpoint")
    return int(token[1:])


async def _first(chosen: Iterator[Record], count: int) -> list[Record]:
    found: list[Record] = []
    while step := list(islice(chosen, min(_STEP, count - len(found)))):
        found += step
        await asyncio.sleep(0)
    return found


class Logs:
    """The log endpoint."""

    def __init__(self, runs: Runs, streams: Streams, clock: Clock) -> None:
        self._runs = runs
        self._streams = streams
        self._clock = clock
        # One reader after the other: between two of them the loop has time for everybody else.
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", "/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs", self.read_logs),
        ]

    async def read_logs(self, request: Request) -> dict[str, Any]:
        """``GET /api/2.0/ai-training/workflows/by-run-id/{job_run_id}/logs``."""
        run = self._runs.find(request.params["run_id"])
        attempt = _attempt_number(run, request)
        node = request.number("filter.node_index", 0)
        if not 0 <= node < run.nodes:
            raise missing(f"node_index {node} is out of range: the run has {run.nodes} nodes")
        ascending = request.flag("ascending", True)
        size = request.number("page_size", _DEFAULT_PAGE)
        if size < 1:
            raise refuse(f"page_size must be at least 1, got {size}")
        stream = self._streams.get(run.run_id, attempt, node)
        since = request.number("from", 0) * 10**9
        until = (request.number("to", _NO_END // 10**9 - 1) + 1) * 10**9
        token = request.text("page_token", "")
        start = _position(token) if token else None
        chosen = stream.select(since, until, ascending=ascending, start=start, now=self._clock.now())
        async with self._turn:
            found = await _first(chosen, min(size, _LARGEST_PAGE) + 1)
        answer: dict[str, Any] = {"log_records": []}
        if len(found) > min(size, _LARGEST_PAGE):
            answer["next_page_token"] = f"p{found.pop().position}"
        for record in found:
            shown = {"time_unix_nano": record.time, "body": record.body, "node_index": node}
            if record.record_id:
                shown["record_id"] = record.record_id
            answer["log_records"].append(shown)
        return answer
