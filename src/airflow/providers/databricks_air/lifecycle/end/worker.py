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
"""The worker's side of a run: every way out of a task's process ends with the run followed, or cancelled.

The loss of the process is the exception, which the next try makes good.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
    get_current_context,
)

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.exceptions import AirRunCancelledError, AirRunInterruptedError
from airflow.providers.databricks_air.lifecycle.attempts import GONE, Seen
from airflow.providers.databricks_air.lifecycle.end.hand_over import HandOver
from airflow.providers.databricks_air.lifecycle.end.helper_thread import ask_with_limit, in_thread
from airflow.providers.databricks_air.lifecycle.end.inquiry import Inquiry
from airflow.providers.databricks_air.lifecycle.end.made_run import MadeRun
from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy, Verdict
from airflow.providers.databricks_air.lifecycle.owner.record import Memory, TaskGoneError, known_run
from airflow.providers.databricks_air.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    KILL_HANDLER_MUST_RAISE,
    KILL_SECONDS,
    is_in_process,
    state_store,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["Worker"]

T = TypeVar("T")
log = logging.getLogger(__name__)

# A person's kill leaves KILL_SECONDS in all: most of them for the question who it is (two requests, each of which takes
# a second on a busy machine), or for the answer to a submission that is under way; the cancel itself takes
# milliseconds, or is left to a process of its own.
ASK_SECONDS = 3.5
CANCEL_SECONDS = 1.0
LEAVE_SECONDS = 30.0


class Worker:
    """A running task's process, as far as a run depends on it.

    :param client: of the workspace; its credentials were read before anything could be interrupted.
    :param context: of the running task.
    :param policy: what the author wants to become of the run.
    :param memory: what this try leaves for the next one.
    :param run_id: id of the run; None until there is one.
    """

    def __init__(
        self,
        client: SyncClient,
        context: Context,
        policy: RunPolicy,
        memory: Memory,
        run_id: int | None = None,
    ) -> None:
        self.is_killed = False
        self.client = client
        self._run = MadeRun(client, run_id)
        self._airflow = Inquiry(context, policy)
        self._policy = policy
        self._memory = memory
        self._must_end = ""
        self._is_settled = False

    @classmethod
    def of_interrupted(cls, make_client: Callable[[], SyncClient], policy: RunPolicy) -> Worker | None:
        """Return the worker of a task whose code has not run in this process; None where it has no run.

        A task that was deferred, or is killed before it executes, knows its run only from what an earlier process
        has left. Asking takes a helper thread: Airflow's channel may be held by the code that was interrupted.

        :param make_client: connects to the workspace.
        :param policy: what the author wants to become of the run.
        """
        try:
            context = get_current_context()
        except (AirflowException, RuntimeError):
            # Killed before there is a context: nothing can be asked either.
            return None

        def ask() -> Worker | None:
            run_id = known_run(context)
            memory = Memory(state_store(context))
            return cls(make_client(), context, policy, memory, run_id) if run_id else None

        return ask_with_limit(ask, ASK_SECONDS)

    @property
    def run_id(self) -> int | None:
        """Id of the run; None until there is one."""
        return self._run.run_id

    def launch(self, submit: Callable[[], int]) -> int:
        """Run a launch so that a kill in the middle of it still learns the id of the run that it made.

        :param submit: uploads and submits, and returns the run id.
        """
        return self._run.launch(submit)

    def submitting(self, body: Mapping[str, Any]) -> None:
        """Take note of the submission, in the moment before it is sent: from now on there may be a run.

        :param body: of ``runs/submit``, with its idempotency token.
        """
        self._run.submitting(body)

    def created(self, run_id: int) -> None:
        """Take note of the run, in the moment that its id is known; end it if the task was killed meanwhile."""
        self._run.run_id = run_id
        if self._must_end:
            self._cancel(self._must_end, CANCEL_SECONDS)

    def tell_airflow(self, say: Callable[[], T]) -> T:
        """Talk to Airflow from a helper thread.

        A signal that interrupts the main thread in the middle of such a talk would find the channel to Airflow
        taken, and could not ask who sent it.

        :param say: blocks until Airflow has answered.
        """
        return in_thread(say).result() if AIRFLOW_V_3_0_PLUS else say()

    @contextmanager
    def responsible(self) -> Iterator[None]:
        """Whatever ends the block, the run that it has made is followed by somebody, or it is cancelled."""
        try:
            if self.is_killed:
                raise AirRunInterruptedError("The task was ended before it began")
            yield
        except BaseException as error:
            self._leave(error)
            raise

    def settle(self) -> None:
        """The run has ended, or may go on alone: whatever comes now is no reason to end it."""
        self._is_settled = True

    def stay_until_taken(self) -> None:
        """Cancel the run if a person ends the task before a trigger has taken it up.

        No signal says so any more, and one that comes is about this process alone.
        """
        self.settle()
        if is_in_process():
            return
        wait = HandOver(
            self._airflow.ti, self.run_id or 0, self._policy.on_clear, self._airflow.ask, self._memory.lasts
        )
        verdict = self.tell_airflow(lambda: wait.verdict(lambda: self.is_killed))
        log.debug("Run %s is handed over: %s", self.run_id, verdict.why)
        if verdict.cancel:
            self.give_up(verdict.why)

    def check_still_wanted(self) -> None:
        """Ask whether a person has ended the task, before it is handed over to where no signal reaches it.

        :raises AirRunCancelledError: when somebody has; the run is cancelled.
        """
        if (seen := self.tell_airflow(self._airflow.ask_for_act)) is None:
            return
        verdict = self._airflow.verdict(seen)
        if verdict.cancel and self._policy.on_kill == "cancel":
            self._cancel(verdict.why, LEAVE_SECONDS)
            self.settle()
            raise AirRunCancelledError(f"Run {self.run_id} was cancelled: {verdict.why}")

    @contextmanager
    def returning(self) -> Iterator[None]:
        """Make the result of a run that has succeeded, if nobody ends the task meanwhile.

        A store tells the next try of that (Airflow 3.3 and later). Elsewhere it would take the result for its own,
        and Airflow 2 would end the task as if nobody had acted.

        :raises AirRunInterruptedError: when somebody has.
        """
        try:
            yield
        finally:
            seen = None if self._memory.lasts else ask_with_limit(self._airflow.ask_for_act, ASK_SECONDS)
            if seen is not None and seen.state != "success":
                self._note_clear(seen)
                raise AirRunInterruptedError(
                    f"The result of run {self.run_id} is not returned: the task was set to {seen.state}"
                )

    def give_up(self, why: str, seconds: float = LEAVE_SECONDS) -> None:
        """Cancel the run, if the author has not detached it; outside of a kill, so nothing is raised.

        :param why: for the log.
        :param seconds: how long to ask while there is no answer.
        """
        if self._policy.on_kill == "cancel":
            self._cancel(why, seconds)

    def on_kill(self) -> None:
        """Decide and act; called in the main thread, between any two instructions of the task."""
        ends = time.monotonic() + KILL_SECONDS
        self.is_killed = True
        if self._is_settled:
            # Nothing to decide; and what is being told to Airflow just now must not break off in the middle.
            return
        self.client.halt()
        timed_out = isinstance(sys.exc_info()[1], AirflowTaskTimeout)
        seen = None if timed_out else ask_with_limit(self._airflow.ask, ASK_SECONDS)
        verdict = self._airflow.verdict(seen, timed_out=timed_out)
        must_raise = KILL_HANDLER_MUST_RAISE and not timed_out
        self._is_settled = True
        if not verdict.cancel or self._policy.on_kill == "detach":
            why = verdict.why if not verdict.cancel else f"{verdict.why}, and on_kill is 'detach'"
            log.info("Run %s stays alive: %s", self.run_id or "(if any)", why)
            if seen is None and not timed_out and self._policy.on_kill == "cancel":
                self._run.ask_on(self._airflow.question)
            if must_raise:
                raise AirRunInterruptedError(f"Interrupted; run {self.run_id} stays alive: {why}")
            return
        self._must_end = verdict.why
        self._run.await_answer(ends - CANCEL_SECONDS)
        self._cancel(verdict.why, max(CANCEL_SECONDS, ends - time.monotonic()))
        self._note_clear(seen)
        if must_raise:
            ended = (
                f"Run {self.run_id} was cancelled"
                if self.run_id
                else "The launch was ended before it had a run"
            )
            raise AirRunCancelledError(f"{ended}: {verdict.why}")

    def _leave(self, error: BaseException) -> None:
        """End the run that an error leaves without anybody who follows it."""
        # on_kill follows the first two; a trigger follows the third.
        is_expected = isinstance(error, AirflowTaskTimeout | TaskDeferred) or not isinstance(
            error, Exception | KeyboardInterrupt
        )
        if self._is_settled or is_expected:
            return
        verdict = self._verdict_of(error)
        if isinstance(error, KeyboardInterrupt):
            self.client.halt()
            self._must_end = verdict.why
            self._run.await_answer(time.monotonic() + ASK_SECONDS)
        if not self._run.may_exist:
            return
        if verdict.cancel and self._policy.on_kill == "cancel":
            self._cancel(verdict.why, LEAVE_SECONDS)
        else:
            log.info("Run %s stays alive: %s", self.run_id, verdict.why)

    def _verdict_of(self, error: BaseException) -> Verdict:
        if isinstance(error, KeyboardInterrupt):
            return Verdict(True, "interrupted from the keyboard")
        if isinstance(error, TaskGoneError):
            return self._airflow.verdict(ask_with_limit(self._airflow.ask, LEAVE_SECONDS) or GONE)
        if isinstance(error, AirflowFailException) or not self._airflow.is_adoptable:
            return Verdict(True, "the task fails, and no later try follows the run")
        return Verdict(False, "the next try of the task follows it")

    def _note_clear(self, seen: Seen | None) -> None:
        if not self._memory.lasts and self._airflow.is_clear(seen):
            self._run.note_clear()

    def _cancel(self, why: str, seconds: float) -> None:
        self._run.cancel(why, seconds, lambda: self._promise(why))

    def _promise(self, why: str) -> None:
        if self._memory.lasts:
            ask_with_limit(lambda: self._memory.keep(must_end=why), ASK_SECONDS)
