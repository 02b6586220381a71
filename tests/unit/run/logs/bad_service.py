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
"""A log service with every bad habit there is, behind the calls that a stream wants made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import NotFoundError, ServiceError
from airflow.providers.databricks_air.api.logs.stream import LogStream
from airflow.providers.databricks_air.run.logs.lines import NOTICE, LogLine
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run, RunState

START = 1_790_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Stored:
    """A record: what it says, when it happened, and when the service begins to show it."""

    body: str
    time: float
    visible: float
    record_id: str = ""

    @property
    def nano(self) -> int:
        """Its time in epoch nanoseconds."""
        return int((START + self.time) * SECOND)


@dataclass
class BadService:
    """Answers log calls at a virtual time, in pages, with duplicates, shuffles, gaps and failures.

    :param records: by node and attempt.
    :param draw: decides every misfortune.
    :param misfortune: the probability of each.
    """

    records: dict[tuple[int, int], list[Stored]]
    draw: Random
    misfortune: float = 0.1
    page_size: int = 7
    clock: float = 0.0
    asked: list[Call[Any]] = field(default_factory=list)

    def now(self) -> float:
        """Epoch seconds."""
        return START + self.clock

    def answer(self, call: Call[Any]) -> Any:
        """Perform a call.

        :raises ServiceError: by misfortune.
        """
        self.asked.append(call)
        if not call.path.endswith("/logs"):
            raise NotFoundError("there is nothing else here", status=404)
        if self._unlucky():
            raise ServiceError("no answer", status=503)
        query = call.query
        feed = (int(query["filter.node_index"]), int(query["ref.attempt_number"]))
        since = int(query.get("from", 0)) * SECOND
        after = tuple(int(part) for part in query.get("page_token", "0:-1").split(":")[:2])
        stored = enumerate(self.records.get(feed, []))
        found = sorted(
            (r.nano, place, r)
            for place, r in stored
            if r.nano >= since and r.visible <= self.clock and (r.nano, place) > after
        )
        page = found[: 0 if self._unlucky() else self.page_size]
        at = page[-1][:2] if page else after
        # No token is like another, as a service with signed tokens would have it.
        token = f"{at[0]}:{at[1]}:{len(self.asked)}" if len(page) < len(found) else ""
        return call.read(Answer(200, {}, self._body([each[2] for each in page], token)))

    def _body(self, page: list[Stored], token: str) -> bytes:
        page = list(page)
        if page and self._unlucky():
            page.append(self.draw.choice(page))
        if self._unlucky():
            self.draw.shuffle(page)
        raw = []
        for record in page:
            shown: dict[str, Any] = {"body": record.body, "node_index": 0}
            shown["time_unix_nano"] = str(record.nano) if self._unlucky() else record.nano
            if record.record_id:
                shown["record_id"] = record.record_id
            raw.append(shown)
        body: dict[str, Any] = {"log_records": raw}
        if token:
            body["next_page_token"] = token
        return json.dumps(body).encode()

    def _unlucky(self) -> bool:
        return self.draw.random() < self.misfortune


def run_of(attempts: int = 1, *, terminal: bool = False, ended: float = 0.0) -> Run:
    """Return a run whose latest attempt runs, or is over."""
    over, alive = RunState("TERMINATED", "SUCCESS"), RunState("RUNNING")
    made = tuple(
        Attempt(
            number,
            1000 + number,
            over if terminal or number < attempts - 1 else alive,
            START * 1000,
            int((START + ended) * 1000) if terminal else 0,
        )
        for number in range(attempts)
    )
    return Run(1, over if terminal else alive, made, start_time=START * 1000)


def poll(stream: LogStream, run: Run, answer: Callable[[Call[Any]], Any]) -> list[LogLine]:
    """Let a stream ask once, and answer it."""
    steps = stream.poll(run)
    try:
        call = next(steps)
        while True:
            try:
                result = answer(call)
            except (ServiceError, NotFoundError) as error:
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        return list(end.value)


def said(lines: list[LogLine]) -> list[LogLine]:
    """Return the lines that are from the run and not about its log."""
    return [line for line in lines if line.node != NOTICE]
