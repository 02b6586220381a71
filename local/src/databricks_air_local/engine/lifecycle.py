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
"""A run from its submission to its end: one small task per run, waiting most of the time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from databricks_air_local.engine.nodes import LOST, Nodes, Outcome
from databricks_air_local.state.runs import FAILED_MESSAGE, Attempt, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from databricks_air_local.engine.records import Records
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.runs import Runs

__all__ = ["Lifecycle"]

logger = logging.getLogger(__name__)

_TIMED_OUT = "Run exceeded the timeout of {seconds:g} seconds"
_CANCELLED = "Run cancelled."


class Lifecycle:
    """Moves runs through their states.

    :param nodes: runs the commands.
    :param records: what is written down of an attempt.
    :param retry_wait: seconds between two attempts.
    :param ended: is called when a run ended.
    """

    def __init__(
        self,
        runs: Runs,
        clock: Clock,
        nodes: Nodes,
        records: Records,
        retry_wait: float,
        ended: Callable[[], None],
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._nodes = nodes
        self._records = records
        self._retry_wait = retry_wait
        self._ended = ended
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._held: dict[int, asyncio.Future[None]] = {}

    def start(self, run: Run) -> None:
        """Begin the life of a run."""
        task = asyncio.create_task(self._live(run))
        self._tasks[run.run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.run_id, None))

    def cancel(self, run: Run) -> None:
        """End a run; returns at once, the end comes soon after."""
        if run.cancelled or not run.active:
            return
        run.cancelled = True
        if run.last.life != "WAITING_FOR_RETRY":
            run.last.life = "TERMINATING"
        self._runs.save(run)
        task = self._tasks.get(run.run_id)
        if task is not None:
            task.cancel()

    @property
    def held(self) -> list[int]:
        """Return the ids of the runs that wait until they are released, or for a time to pass."""
        return list(self._held)

    def release(self, run: Run) -> None:
        """End what a run waits for: a hold, or a scripted attempt."""
        held = self._held.pop(run.run_id, None)
        if held is not None and not held.done():
            held.set_result(None)

    def resume(self, run: Run) -> None:
        """Take up a run that was alive when the server stopped."""
        if run.cancelled:
            self._finish(run, Outcome("CANCELED", _CANCELLED))
        else:
            self.start(run)

    async def close(self) -> None:
        """Stop all lives as they are."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, run: Run) -> None:
        try:
            await self._attempts(run)
        except asyncio.CancelledError:
            if not run.cancelled:
                raise
            await self._clock.sleep(float(run.plan.get("cancel_after", 0)))
            self._finish(run, Outcome("CANCELED", _CANCELLED))
        except Exception:
            logger.exception("run %s broke the local AI Runtime", run.run_id)
            self._finish(
                run,
                Outcome("FAILED", "Internal error of the local AI Runtime, see its log", "INTERNAL_ERROR"),
            )

    async def _attempts(self, run: Run) -> None:
        begun = bool(run.last.started)  # the server was stopped in the middle of it
        outcome = await (self._recover(run, run.last) if begun else self._attempt(run, run.last))
        while self._retries(run, outcome):
            await self._wait_for_retry(run, outcome)
            outcome = await self._attempt(run, run.last)
        self._finish(run, outcome)

    async def _recover(self, run: Run, attempt: Attempt) -> Outcome:
        """Go on with an attempt that an earlier server began."""
        if attempt.life == "WAITING_FOR_RETRY":
            return Outcome(attempt.result, attempt.message, attempt.code)
        if "outcome" in _script(run, attempt.number):
            return LOST
        seconds = attempt.started / 1000 + run.timeout - self._clock.now() if run.timeout else 0
        work = self._nodes.adopt(run, attempt)
        async with self._records.artifacts.published(run, attempt):
            return await self._within(max(seconds, 0.001) if run.timeout else 0, work)

    def _retries(self, run: Run, outcome: Outcome) -> bool:
        left = run.max_retries < 0 or run.last.number < run.max_retries
        if outcome.result == "TIMEDOUT":
            return left and bool(run.task.get("retry_on_timeout"))
        return left and outcome.result == "FAILED"

    async def _wait_for_retry(self, run: Run, outcome: Outcome) -> None:
        ended = run.last
        ended.life, ended.ended, ended.message = "WAITING_FOR_RETRY", self._now(), _message(outcome)
        ended.result, ended.code = outcome.result, outcome.code
        self._close_attempt(run, ended, outcome)
        self._runs.save(run)
        await self._clock.sleep(float(run.plan.get("retry_wait", self._retry_wait)))
        ended.life = "TERMINATED"
        self._runs.new_attempt(run, self._now())
        self._runs.save(run)

    async def _attempt(self, run: Run, attempt: Attempt) -> Outcome:
        script = _script(run, attempt.number)
        await self._hold(run, attempt, script)
        if "outcome" not in script:
            await self._nodes.turn()
        attempt.experiment_id, attempt.mlflow_run_id = self._records.mlflow.begin(run, attempt)
        attempt.life, attempt.started, attempt.message, attempt.status = "RUNNING", self._now(), "", ""
        attempt.life = script.get("state", attempt.life)
        self._runs.save(run)
        self._records.streams.say(run.run_id, attempt.number, 0, *self._nodes.preamble(run))
        work = self._scripted(run, attempt, script) if "outcome" in script else self._nodes.run(run, attempt)
        async with self._records.artifacts.published(run, attempt):
            return await self._within(run.timeout, work)

    async def _hold(self, run: Run, attempt: Attempt, script: dict[str, Any]) -> None:
        """Keep an attempt waiting; each step is counted from when it began, also after a restart."""
        for number, step in enumerate(script.get("hold", ())):
            if number < attempt.step:
                continue
            if number > attempt.step or not attempt.step_since:
                attempt.step, attempt.step_since = number, self._now()
            attempt.life = step.get("state", "PENDING")
            attempt.message = step.get("message", "")
            attempt.status = step.get("status", "")
            attempt.queue_code = step.get("code", "")
            self._runs.save(run)
            passed = (self._now() - attempt.step_since) / 1000
            seconds = step.get("seconds")
            await self._pause(run, None if seconds is None else max(0.0, seconds - passed))
        if attempt.life != "PENDING":
            attempt.life, attempt.message = "PENDING", ""
            self._runs.save(run)

    async def _pause(self, run: Run, seconds: float | None) -> None:
        """Wait for so long, or until released."""
        held = self._held[run.run_id] = asyncio.get_running_loop().create_future()
        timer = None if seconds is None else asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({held, timer} if timer else {held}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._held.pop(run.run_id, None)
            if timer is not None:
                timer.cancel()

    async def _scripted(self, run: Run, attempt: Attempt, script: dict[str, Any]) -> Outcome:
        lines = [str(line) for line in script.get("logs", ())]
        self._records.streams.say(run.run_id, attempt.number, int(script.get("node", 0)), *lines)
        self._records.mlflow.log_script(attempt.mlflow_run_id, script)
        await self._pause(run, script.get("after"))
        outcome = Outcome(script["outcome"], script.get("message", ""), script.get("code", ""))
        if outcome.result == "FAILED" and "exit_code" in script:
            code, seconds = script["exit_code"], script.get("after") or 0
            line = f"ERROR: Script failed with exit code {code} after {seconds:g}s"
            self._records.streams.say(run.run_id, attempt.number, 0, line)
        return outcome

    async def _within(self, seconds: float, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        task = asyncio.ensure_future(work)
        timer = asyncio.ensure_future(self._clock.sleep(seconds)) if seconds else None
        try:
            await asyncio.wait({task, timer} if timer else {task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return Outcome("TIMEDOUT", _TIMED_OUT.format(seconds=seconds))
        finally:
            for future in (task, timer):
                if future is not None and not future.done():
                    future.cancel()
                    with suppress(asyncio.CancelledError):
                        await future

    def _finish(self, run: Run, outcome: Outcome) -> None:
        attempt = run.last
        if attempt.life == "WAITING_FOR_RETRY" and run.cancelled:
            # Nothing that this attempt did is undone; it is the run that was cancelled.
            attempt.life, run.outcome, run.ended = "TERMINATED", outcome.result, self._now()
            self._runs.save(run)
            self._ended()
            return
        attempt.life, attempt.result = "TERMINATED", outcome.result
        attempt.message, attempt.code, attempt.status = _message(outcome), outcome.code, ""
        attempt.ended = attempt.ended or self._now()
        self._close_attempt(run, attempt, outcome)
        self._runs.save(run)
        self._ended()

    def _close_attempt(self, run: Run, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.mlflow_run_id:
            self._records.mlflow.end(attempt.mlflow_run_id, outcome.result)
            self._records.artifacts.publish(run, attempt)

    def _now(self) -> int:
        return int(self._clock.now() * 1000)


def _message(outcome: Outcome) -> str:
    return outcome.message or (FAILED_MESSAGE if outcome.result == "FAILED" else "")


def _script(run: Run, number: int) -> dict[str, Any]:
    """Return what a test said that this attempt does; empty means: run the command."""
    attempts = run.plan.get("attempts") or [{}]
    script: dict[str, Any] = attempts[min(number, len(attempts) - 1)]
    return script
