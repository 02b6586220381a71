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
"""What happens to the run when the process of its task is told to end."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, get_current_context

from airflow.providers.databricks_air.api.http.calls import cancel_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.exceptions import AirRunCancelledError, AirRunInterruptedError
from airflow.providers.databricks_air.lifecycle.claim import known_run
from airflow.providers.databricks_air.lifecycle.ownership import (
    RunPolicy,
    Verdict,
    ask_with_limit,
    judge_worker,
)
from airflow.providers.databricks_air.version_compat import KILL_HANDLER_MUST_RAISE, ask_own_state

if TYPE_CHECKING:
    from airflow.providers.databricks_air.hooks.air import AirRuntimeHook

__all__ = ["Interruption", "recover"]

log = logging.getLogger(__name__)

# A user's kill leaves about five seconds: ask briefly, send the cancel next.
ASK_SECONDS = 1.0
SUBMIT_SECONDS = 2.0
CANCEL_SECONDS = 3.0


def recover(hook: AirRuntimeHook, policy: RunPolicy) -> Interruption | None:
    """Return the interruption of a task whose code has not run in this process; None where it has no run.

    A task that was deferred, or is killed before it executes, knows its run only from what an earlier process has
    left. Asking takes a helper thread: Airflow's channel may be held by the code that was interrupted.

    :param hook: of the connection.
    :param policy: what the author wants to become of the run.
    """
    try:
        context = get_current_context()
    except (AirflowException, RuntimeError):
        # Killed before there is a context: nothing can be asked either.
        return None

    def ask() -> Interruption | None:
        run_id = known_run(context)
        return Interruption(hook, context["ti"], policy, run_id) if run_id else None

    return ask_with_limit(ask, ASK_SECONDS)


class Interruption:
    """Knows the run of a running task, so that a kill can end it in the moment that Airflow leaves.

    :param hook: of the connection; its credentials are read before anything can be interrupted.
    :param ti: the running task instance.
    :param policy: what the author wants to become of the run.
    :param run_id: id of the run; None until there is one.
    """

    def __init__(self, hook: AirRuntimeHook, ti: Any, policy: RunPolicy, run_id: int | None = None) -> None:
        self.run_id = run_id
        self._client = hook.client
        self._ti = ti
        self._policy = policy
        self._launching: Future[int] | None = None

    @property
    def is_last_try(self) -> bool:
        """Whether Airflow will not try again by itself."""
        return bool(self._ti.try_number > self._ti.max_tries)

    def guard(self, submit: Callable[[], int]) -> int:
        """Run a launch so that a kill in the middle of it still learns the id of the run that it made.

        The launch has a thread of its own: a signal interrupts the main thread only, and must not take the
        answer to a submission with it.

        :param submit: uploads and submits, and returns the run id.
        """
        future: Future[int] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                future.set_result(context.run(submit))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

        self._launching = future
        threading.Thread(target=run, name="databricks-air-launch", daemon=True).start()
        return future.result()

    def give_up(self, why: str) -> None:
        """Cancel the run, if a deadline or the last try has passed; outside of a kill, so nothing is raised.

        :param why: for the log.
        """
        if self._policy.on_kill == "cancel":
            self._cancel(why)

    def handle(self) -> None:
        """Decide and act; called in the main thread, between any two instructions of ``execute``."""
        timed_out = isinstance(sys.exc_info()[1], AirflowTaskTimeout)
        verdict = self._judge(timed_out)
        self._client.halt()
        if not verdict.cancel or self._policy.on_kill == "detach":
            why = verdict.why if not verdict.cancel else f"{verdict.why}, and on_kill is 'detach'"
            log.info("Run %s stays alive: %s", self.run_id or "(if any)", why)
            if KILL_HANDLER_MUST_RAISE and not timed_out:
                raise AirRunInterruptedError(f"Interrupted; run {self.run_id} stays alive: {why}")
            return
        self._cancel(verdict.why)
        if KILL_HANDLER_MUST_RAISE and not timed_out:
            raise AirRunCancelledError(f"Run {self.run_id} was cancelled: {verdict.why}")

    def _judge(self, timed_out: bool) -> Verdict:
        ti = self._ti
        seen = None if timed_out else ask_with_limit(lambda: ask_own_state(ti), ASK_SECONDS)
        return judge_worker(
            seen,
            try_number=ti.try_number,
            is_adoptable=self._policy.durable and not self.is_last_try,
            timed_out=timed_out,
            on_clear=self._policy.on_clear,
        )

    def _cancel(self, why: str) -> None:
        run_id = self._run_id_in_time()
        if run_id is None:
            log.info("There is no run to cancel (%s)", why)
            return
        # The interrupted code may be in the middle of a request on the other client.
        client = SyncClient(self._client.credentials)
        try:
            client.perform(cancel_run(run_id).within(CANCEL_SECONDS))
        except ApiError as error:
            log.error("Run %s could not be cancelled (%s): %s", run_id, why, error)
        else:
            log.info("Run %s: asked for its end (%s)", run_id, why)
        finally:
            client.close()

    def _run_id_in_time(self) -> int | None:
        """Return the run's id; waits for the answer to a submission that is under way."""
        if self.run_id is None and self._launching is not None:
            try:
                return self._launching.result(timeout=SUBMIT_SECONDS)
            except Exception as error:  # noqa: BLE001 - the launch ended without a run, or is still waiting
                log.debug("No run from the interrupted launch: %r", error)
        return self.run_id
