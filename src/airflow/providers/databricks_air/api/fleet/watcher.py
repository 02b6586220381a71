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
"""Follows all runs of a connection from one event loop: one session, one pace, few requests.

A handful of runs are asked one by one. Many are looked up in a list of what is alive, and a run that has left
it is asked for itself. Every run is asked for itself at least every five minutes, whatever the lists say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from heapq import heappop, heappush, nsmallest
from typing import TypeVar

from airflow.providers.databricks_air.api.fleet.gate import Gate
from airflow.providers.databricks_air.api.fleet.listing import Active, ActiveRuns
from airflow.providers.databricks_air.api.fleet.registration import CONFIRM, GATHER, SOONEST, Registration
from airflow.providers.databricks_air.api.fleet.renewal import Renewal, start_apart
from airflow.providers.databricks_air.api.fleet.tally import Measure, Tally
from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.client import AsyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError
from airflow.providers.databricks_air.api.watch.events import Event
from airflow.providers.databricks_air.api.watch.limits import WatchPlan
from airflow.providers.databricks_air.api.watch.steps import LineSource, Look, Watch, look_at, send, throw

__all__ = ["Watcher"]

log = logging.getLogger(__name__)
T = TypeVar("T")

FEW = 3
"""So many runs are asked one by one rather than looked up in a list."""
IDLE = 10.0
AFTER_FAULT = 5.0
LAG = 60.0
"""Seconds by which a list may be late."""
LIST_SHARE = 5
"""So many times less than asking each run at its interval does looking into the list cost at most."""
TURN = 250
"""So many runs are gone through before the other triggers get a turn."""


class Watcher:
    """Follows any number of runs through one client.

    :param client: performs the calls.
    :param host: the workspace URL, for whoever needs it.
    :param renew: sets fresh credentials, after a refusal and now and then; None for none.
    :param measure: told now and then how the watching goes; None for nobody.
    :param confirm: the longest time between two direct answers for a run, in seconds, whatever the lists say.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        host: str = "",
        renew: Callable[[], Awaitable[None]] | None = None,
        measure: Measure | None = None,
        confirm: float = CONFIRM,
    ) -> None:
        self._confirm = confirm
        self.client = client
        self.host = host
        self._renewal = Renewal(client, renew)
        self._gate = Gate()
        self._lists = ActiveRuns(self.perform)
        self._tally = Tally(self._gate, measure)
        self._registered: set[Registration] = set()
        self._queue: list[tuple[float, int, Registration]] = []
        self._count = 0
        self._worker: asyncio.Task[None] | None = None
        self._woken: asyncio.Future[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def runs(self) -> int:
        """How many runs are followed."""
        return len(self._registered)

    async def follow(self, plan: WatchPlan, *, stream: LineSource | None = None) -> AsyncIterator[Event]:
        """Follow a run to its end.

        :param plan: which run, and how.
        :param stream: where its log lines come from; None for no lines.
        """
        is_close = stream is not None or bool(
            plan.queue_timeout or plan.metrics_interval or plan.experiment_access
        )
        registration = Registration(plan, is_close=is_close, confirm=self._confirm)
        self._register(registration)
        try:
            steps = Watch(plan, stream).steps()
            step = next(steps, None)
            while step is not None:
                if not isinstance(step, Call | Look):
                    yield step
                    step = send(steps, None)
                    continue
                try:
                    if isinstance(step, Call):
                        answer = await self.perform(step)
                    else:
                        self._hurry(registration, step)
                        answer = await registration.news(step)
                except ApiError as error:
                    step = throw(steps, error)
                else:
                    step = send(steps, answer)
        finally:
            self._leave(registration)

    async def perform(self, call: Call[T]) -> T:
        """Send a call in its turn; where the credentials are refused, once more with fresh ones.

        :raises ApiError: when the answer is not the one hoped for.
        """
        await self._gate.enter()
        return await self._perform_inside(call)

    async def close(self) -> None:
        """Ask nothing more, and close the connections."""
        self._stop()
        await self.client.close()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        self._renewal.stop()
        for task in (worker, *self._asking):
            if task is not None:
                task.cancel()
        self._queue.clear()

    def _register(self, registration: Registration) -> None:
        self._registered.add(registration)
        # What comes together is asked for together.
        registration.due_at += GATHER / 2
        self._put(registration)
        if self._worker is None or self._worker.done():
            self._worker = start_apart(self._work())

    def _leave(self, registration: Registration) -> None:
        registration.is_gone = True
        self._registered.discard(registration)
        if not self._registered:
            self._stop()

    def _hurry(self, registration: Registration, look: Look) -> None:
        if look.is_urgent and not registration.is_over and not registration.is_urgent:
            registration.is_urgent = True
            at = max(time.time(), registration.looked_at + registration.pace.gap)
            if at < registration.due_at:
                registration.due_at = at
                self._put(registration)

    def _put(self, registration: Registration) -> None:
        """Look at a run when it is due; what was put for another time counts no more."""
        self._count += 1
        heappush(self._queue, (registration.due_at, self._count, registration))
        if self._queue[0][1] == self._count:
            self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _work(self) -> None:
        """Look at what is due, again and again, whatever goes wrong on the way."""
        try:
            while self._registered:
                try:
                    await self._round()
                    self._tally.report(len(self._registered))
                except Exception:
                    log.exception("The watcher met an error of its own; it goes on in %.0f s", AFTER_FAULT)
                    await asyncio.sleep(AFTER_FAULT)
                    self._queue_all()
                await self._sleep()
        except asyncio.CancelledError:
            if self._registered and asyncio.current_task() is self._worker:
                # Somebody else's doing: the runs are still awaited.
                self._queue_all()
                self._worker = start_apart(self._work())
            raise

    async def _sleep(self) -> None:
        due_at = self._queue[0][0] if self._queue else time.time() + IDLE
        wait = min(IDLE, due_at - time.time())
        if wait <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        self._woken = woken = loop.create_future()
        timer = loop.call_later(wait, self._wake)
        try:
            await woken
        finally:
            timer.cancel()

    def _queue_all(self) -> None:
        self._queue.clear()
        for registration in self._registered:
            if not registration.is_over and not registration.is_asked:
                self._put(registration)

    async def _round(self) -> None:
        due = self._take_due()
        if not due:
            return
        active = await self._lists.ask() if self._is_worth_a_list(due) else None
        if active is None:
            await self._ask_each(due)
            return
        await self._compare(active)
        # What was due and has been neither served by the list nor asked for.
        now = time.time()
        await self._ask_each([each for each in due if each.due_at <= now + GATHER and not each.is_asked])

    def _is_worth_a_list(self, due: list[Registration]) -> bool:
        """Whether a list serves more runs, of those that are due and those that soon are, than it costs requests."""
        served = sum(not each.needs_direct for each in due)
        enough = max(FEW, self._lists.cost) + 1
        if not served or served >= enough or enough > len(self._registered):
            return served >= enough
        now = time.time()
        soon = {
            each
            for at, _, each in nsmallest(int(2 * enough), self._queue)
            if at == each.due_at and at - now < each.pace.interval * SOONEST and not each.needs_direct
        }
        return served + len(soon) >= enough

    def _take_due(self) -> list[Registration]:
        now = time.time()
        due: list[Registration] = []
        while self._queue and self._queue[0][0] <= now + GATHER:
            at, _, registration = heappop(self._queue)
            is_current = at == registration.due_at and not registration.is_over and not registration.is_gone
            if is_current and not registration.is_asked:
                self._tally.late(now - at)
                due.append(registration)
        return due

    async def _compare(self, active: Active) -> None:
        """Take a list's word for the runs that are alive; ask for those that have left it."""
        asked: list[Registration] = []
        share = LIST_SHARE * self._lists.cost / max(1, len(self._registered))
        for number, each in enumerate(list(self._registered)):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
            if each.is_over or each.is_asked or each.since > active.asked_at:
                continue
            now = time.time()
            word = active.states.get(each.run_id)
            if word is None:
                if active.is_complete and each.is_missed(now):
                    asked.append(each)
            elif each.is_changed(word) or now >= each.confirm_at:
                asked.append(each)
            elif not each.needs_direct and each.is_served(now, share):
                self._put(each)
        await self._ask_each(asked, active)

    async def _ask_each(self, registrations: list[Registration], active: Active | None = None) -> None:
        for number, each in enumerate(registrations):
            if number and self._gate.is_troubled:
                # One look shows when the trouble is over; then a list may serve all the others.
                for left in registrations[number:]:
                    self._put(left)
                return
            if each.is_over or each.is_asked or each.is_gone:
                continue
            each.is_asked = True
            try:
                await self._gate.enter()
            except BaseException:
                each.is_asked = False
                raise
            task = start_apart(self._ask(each, active))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, registration: Registration, active: Active | None) -> None:
        """Ask for one run, in a place behind the gate."""
        try:
            run = await self._perform_inside(look_at(registration.run_id))
        except ApiError as error:
            now = time.time()
            registration.failed(error, now)
            registration.due_at = now + max(error.retry_after or 0.0, registration.pace.delay(now))
        else:
            now = time.time()
            registration.answered(run, now)
            registration.next_look(now)
            self._judge(registration, run.end_time / 1000 if run.is_terminal else 0.0, now)
        finally:
            registration.is_asked = False
            if not registration.is_over and not registration.is_gone:
                self._put(registration)

    def _judge(self, registration: Registration, ended_at: float, now: float) -> None:
        """Compare a direct answer with what the list said last."""
        source = self._lists.last
        if ended_at and registration.is_listed and ended_at + LAG < self._lists.last_at:
            self._lists.kept(source)
        if not ended_at and registration.absent_since and now - registration.absent_since > LAG:
            registration.absent_since = 0.0
            self._lists.omitted(source, len(self._registered))

    async def _perform_inside(self, call: Call[T]) -> T:
        self._renewal.keep_fresh()
        used = self.client.credentials
        try:
            return await self._gate.perform_inside(self.client, call)
        except AuthError:
            await self._renewal.replace(used)
            if self.client.credentials == used:
                raise
        await self._gate.enter()
        return await self._gate.perform_inside(self.client, call)
