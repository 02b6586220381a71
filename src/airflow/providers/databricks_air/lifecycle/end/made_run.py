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
"""The run that a task's process has made or taken over, as far as it may have to end it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from airflow.providers.databricks_air.api.http.calls import get_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError, HaltedError
from airflow.providers.databricks_air.api.launch.notes import note_clear
from airflow.providers.databricks_air.lifecycle.end.cancel import ask_for_end, go_on_alone
from airflow.providers.databricks_air.lifecycle.end.channel import channel
from airflow.providers.databricks_air.lifecycle.end.helper_thread import in_thread
from airflow.providers.databricks_air.run.errors import AirError

__all__ = ["MadeRun"]

log = logging.getLogger(__name__)

NOTE_SECONDS = 1.0


class MadeRun:
    """The run of a task's process, from before its submission on.

    :param client: of the workspace.
    :param run_id: id of the run; None until it is known.
    """

    def __init__(self, client: SyncClient, run_id: int | None = None) -> None:
        self.run_id = run_id
        self._client = client
        self._launching: Future[int] | None = None
        self._submission: Mapping[str, Any] | None = None

    def launch(self, submit: Callable[[], int]) -> int:
        """Run a launch so that a kill in the middle of it still learns the id of the run that it made.

        The launch has a thread of its own: a signal interrupts the main thread only, and must not take the
        answer to a submission with it.

        :param submit: uploads and submits, and returns the run id.
        """
        self._launching = in_thread(submit)
        return self._launching.result()

    def submitting(self, body: Mapping[str, Any]) -> None:
        """Take note of the submission, in the moment before it is sent: from now on there may be a run.

        :param body: of ``runs/submit``, with its idempotency token.
        """
        self._submission = body

    def await_answer(self, until: float) -> None:
        """Wait for the answer to a submission that is under way, which has the id of the run."""
        if self.run_id is None and self._launching is not None:
            try:
                self.run_id = self._launching.result(timeout=max(0.1, until - time.monotonic()))
            except Exception as error:  # noqa: BLE001 - the launch ended without a run, or is still waiting
                log.debug("No run from the interrupted launch: %r", error)

    @property
    def may_exist(self) -> bool:
        """Whether there is a run, or a submission was sent whose answer nobody has heard."""
        return self.run_id is not None or self._is_unheard

    @property
    def _is_unheard(self) -> bool:
        if self._submission is None or self._launching is None:
            return False
        if not self._launching.done():
            return True
        error = self._launching.exception()
        last = error.__cause__ if isinstance(error, HaltedError) else error
        return isinstance(last, ApiError) and last.status is None

    def cancel(self, why: str, seconds: float, promise: Callable[[], None] = lambda: None) -> None:
        """Ask for the end of the run; where that is not taken, somebody goes on after this process.

        :param why: for the log.
        :param seconds: how long to ask while there is no answer.
        :param promise: leaves it to the next try, too.
        """
        run_id = self.run_id
        if run_id is None:
            if self._is_unheard:
                go_on_alone(self._client.credentials, run_id=None, body=self._submission)
            else:
                log.info("There is no run to cancel (%s)", why)
            return
        # The interrupted code may be in the middle of a request on the other client.
        client = SyncClient(self._client.credentials)
        try:
            ask_for_end(client, run_id, seconds)
        except AirError as error:
            log.error("Run %s could not be cancelled (%s): %s", run_id, why, error)
            if isinstance(error, ApiError):
                go_on_alone(self._client.credentials, run_id=run_id)
            promise()
        else:
            log.info("Run %s: asked for its end (%s)", run_id, why)
        finally:
            client.close()

    def ask_on(self, question: Mapping[str, Any]) -> None:
        """Leave the question who ended the task to a process of its own: Airflow has not answered in time.

        :param question: of which task instance.
        """
        if self.may_exist and (descriptor := channel()) is not None:
            body = self._submission if self.run_id is None else None
            go_on_alone(
                self._client.credentials,
                run_id=self.run_id,
                body=body,
                question=question,
                channel=descriptor,
            )

    def note_clear(self) -> None:
        """Leave beside the run that its task was cleared: its result is not for the next try."""
        if self.run_id is None:
            return
        client = SyncClient(self._client.credentials)
        try:
            run = client.perform(get_run(self.run_id).within(NOTE_SECONDS))
            note_clear(client, run.launch_directory)
        except AirError as error:
            log.warning("The next try may take run %s for its own: %s", self.run_id, error)
        finally:
            client.close()
