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
"""Which runs are alive, in a few requests: the own-run index, or else the Jobs listing.

A list is a hint. It may lag, leave out or keep what it should not, so that a direct answer is always believed
before it; a list that contradicts one is not asked for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError

__all__ = ["Active", "ActiveRuns", "own_runs", "submitted_runs"]

log = logging.getLogger(__name__)

Perform = Callable[[Call[Any]], Awaitable[Any]]

LIST_TIMEOUT = 20.0
SLOW = 20.0
"""Seconds for all pages together, after which asking directly is the better way."""
REST = 600.0
SHORT_REST = 60.0
FAILURES_BELIEVED = 3
OMISSIONS_BELIEVED = 3


@dataclass(frozen=True)
class Page:
    """Some runs that are alive.

    :param states: what the list says of a run's state, by run id; empty where it says nothing.
    :param next_token: asks for the next page; empty after the last one.
    """

    states: dict[int, str]
    next_token: str


@dataclass(frozen=True)
class Active:
    """What a list said.

    :param states: what it says of a run's state, by id of each run that it calls alive.
    :param is_complete: whether a run that is not in it is not alive, as far as the list knows.
    :param source: which list it was.
    :param asked_at: epoch seconds at which the asking began.
    """

    states: dict[int, str]
    is_complete: bool
    source: str
    asked_at: float


def own_runs(token: str = "") -> Call[Page]:
    """``GET /api/2.0/ai-training/workflows``: the caller's runs that are alive (air-contract 8.2).

    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> Page:
        body = answer.json()
        rows = body.get("training_workflows") or ()
        return Page({int(row["job_run_id"]): _word(row) for row in rows}, _token(body))

    query = {"active_only": "true", "page_size": "1000"}
    return _list_call("/api/2.0/ai-training/workflows", query, token, read)


def submitted_runs(token: str = "") -> Call[Page]:
    """``GET /api/2.2/jobs/runs/list``: everybody's submitted runs that are alive (air-contract 8.2).

    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> Page:
        body = answer.json()
        return Page({int(row["run_id"]): _word(row) for row in body.get("runs") or ()}, _token(body))

    query = {"run_type": "SUBMIT_RUN", "limit": "25", "active_only": "true"}
    return _list_call("/api/2.2/jobs/runs/list", query, token, read)


def _list_call(path: str, query: Mapping[str, str], token: str, read: Callable[[Answer], Page]) -> Call[Page]:
    page = {"page_token": token} if token else {}
    return Call("GET", path, read, query={**query, **page}).once(timeout=LIST_TIMEOUT)


def _token(body: Mapping[str, Any]) -> str:
    return str(body.get("next_page_token") or "")


def _word(row: Mapping[str, Any]) -> str:
    """Return the state in a row, where there is one: today's clients read only the id of the index."""
    state, status = row.get("state"), row.get("status")
    words = [state.get("life_cycle_state")] if isinstance(state, Mapping) else []
    words += [status.get("state")] if isinstance(status, Mapping) else []
    return next((str(word) for word in words if word), "")


class _Source:
    """One list, and whether it is worth asking."""

    def __init__(self, name: str, call: Callable[[str], Call[Page]], most_pages: int) -> None:
        self.name = name
        self.call = call
        self.most_pages = most_pages
        self.pages = 1
        self.rests_until = 0.0
        self.failures = 0
        self.omissions = 0


class ActiveRuns:
    """Asks the best list there is, and leaves alone those that are no good.

    :param perform: sends a call.
    :param now: returns epoch seconds.
    """

    def __init__(self, perform: Perform, now: Callable[[], float] = time.time) -> None:
        self._perform = perform
        self._now = now
        self._said: set[tuple[str, str]] = set()
        self.last = ""
        """The name of the list that answered last."""
        self.last_at = 0.0
        """Epoch seconds at which it was asked."""
        # The clients scan 2,000 runs of everybody at most: 80 pages.
        self._sources = [_Source("own-run index", own_runs, 20), _Source("Jobs listing", submitted_runs, 80)]

    @property
    def cost(self) -> float:
        """How many requests the next asking takes, as far as is known; infinity when no list is any good."""
        source = self._best()
        return float("inf") if source is None else source.pages

    async def ask(self) -> Active | None:
        """Return the runs that are alive; None when no list can tell now."""
        while (source := self._best()) is not None:
            try:
                active = await self._read(source)
            except ServiceError as error:
                source.failures += 1
                if source.failures >= FAILURES_BELIEVED:
                    self._rest(source, f"it fails ({error})", SHORT_REST)
                return None
            except ApiError as error:
                if error.status == 401:
                    return None
                self._rest(source, f"it is refused ({error})", REST)
                continue
            source.failures = 0
            self.last, self.last_at = source.name, active.asked_at
            return active
        return None

    def kept(self, name: str) -> None:
        """Take note that a list calls a run alive that has ended long ago.

        :param name: of the list.
        """
        for source in self._sources:
            if source.name == name:
                self._rest(source, "it keeps runs that have ended", REST)

    def omitted(self, name: str, followed: int) -> None:
        """Take note that a list has left out a run that is alive.

        :param name: of the list.
        :param followed: how many runs are followed: one in a hundred may be late.
        """
        for source in self._sources:
            if source.name == name:
                source.omissions += 1
                if source.omissions >= max(OMISSIONS_BELIEVED, followed / 100):
                    self._rest(source, "it leaves out runs that are alive", REST)

    def _best(self) -> _Source | None:
        now = self._now()
        return next((source for source in self._sources if source.rests_until <= now), None)

    async def _read(self, source: _Source) -> Active:
        started, token, states = self._now(), "", dict[int, str]()
        for number in range(1, source.most_pages + 1):
            page: Page = await self._perform(source.call(token))
            states.update(page.states)
            is_last = page.next_token in {"", token}
            token = page.next_token
            source.pages = number
            if self._now() - started > SLOW:
                self._rest(source, f"it takes more than {SLOW:.0f} s", REST)
                return Active(states, is_last, source.name, started)
            if is_last:
                return Active(states, True, source.name, started)
        self._rest(source, "it is too long", REST)
        return Active(states, False, source.name, started)

    def _rest(self, source: _Source, why: str, seconds: float) -> None:
        source.rests_until = self._now() + seconds
        source.failures = source.omissions = 0
        reason = why.partition(" (")[0]
        if (source.name, reason) not in self._said:
            self._said.add((source.name, reason))
            log.warning("The %s is not used for the next %.0f minutes: %s", source.name, seconds / 60, why)
