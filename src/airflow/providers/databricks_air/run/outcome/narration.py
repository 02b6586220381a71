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
"""What is worth a line in the task's log while a run goes on: changes, never polls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from airflow.providers.databricks_air.run.outcome.result import mlflow_url
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Narrator", "attempt_of", "duration", "waiting_message"]


class Output(Protocol):
    """What an attempt says beside its state."""

    @property
    def status_message(self) -> str:
        """``TYPE:text`` while it waits; empty otherwise."""
        ...

    @property
    def mlflow_experiment_id(self) -> str:
        """Empty until the attempt has started."""
        ...

    @property
    def mlflow_run_id(self) -> str:
        """Empty until the attempt has started."""
        ...


class Narrator:
    """Turns what is seen of a run into lines, each said once.

    :param host: the workspace URL, for the address of the MLflow run; empty to leave that out.
    """

    def __init__(self, host: str = "") -> None:
        self._host = host
        self._mlflow_url: str | None = None
        self._phase = ""
        self._since = 0.0
        self._attempt = 0
        self._waiting = ""

    def changes(self, run: Run, output: Output, now: float) -> Iterator[str]:
        """Say what differs from the last look.

        :param run: what is seen now.
        :param output: what its latest attempt says.
        :param now: epoch seconds.
        """
        yield from self._attempt_change(run)
        if run.phase != self._phase:
            yield self._phase_change(run, now)
        message = waiting_message(output.status_message)
        if run.is_waiting and message and message != self._waiting:
            self._waiting = message
            yield f"Run {run.run_id}: {message}"
        url = mlflow_url(self._host, output.mlflow_experiment_id, output.mlflow_run_id)
        if self._host and url != self._mlflow_url:
            self._mlflow_url = url
            yield f"Run {run.run_id}: MLflow run {url}"

    def _attempt_change(self, run: Run) -> Iterator[str]:
        number = run.latest.number if run.latest else 0
        if number > self._attempt:
            previous = next((a for a in run.attempts if a.number == number - 1), None)
            ended = f" after attempt {number} ended as {previous.state.word}" if previous else ""
            self._attempt = number
            yield f"Run {run.run_id}: {attempt_of(number + 1, run.max_retries)}{ended}"

    def _phase_change(self, run: Run, now: float) -> str:
        old, since = self._phase, self._since
        self._phase, self._since = run.phase, now
        unknown = "" if run.state.is_known else " (a state that this version does not know; waiting goes on)"
        if not old:
            self._since = run.waiting_since / 1000 if run.is_waiting and run.waiting_since else now
            return f"Run {run.run_id}: {run.phase}{unknown}"
        seconds = now - since
        if run.is_terminal and run.latest is not None and run.latest.seconds is not None:
            # The service knows how long the command ran; we only know when we looked.
            seconds = run.latest.seconds
        return f"Run {run.run_id}: {old} → {run.phase} after {duration(seconds)}{unknown}"


def attempt_of(ordinal: int, max_retries: int) -> str:
    """Return an attempt for people, counted from 1: ``attempt 2 of 4``.

    :param ordinal: which one it is, counted from 1.
    :param max_retries: how often the platform tries again; negative for without limit.
    """
    return f"attempt {ordinal} of {max_retries + 1}" if max_retries >= 0 else f"attempt {ordinal}"


def waiting_message(status_message: str) -> str:
    """Return the text of a ``STATUS:`` message, as ``databricks air`` shows it; else nothing."""
    kind, colon, text = status_message.partition(":")
    text = text.strip().rstrip(".")
    if not colon or kind.strip().upper() != "STATUS" or not text:
        return ""
    if text == "Waiting for GPU compute capacity to become available":
        text = "Waiting for accelerator capacity to become available"
    return f"{text}..."


def duration(seconds: float) -> str:
    """Return a length of time for people: ``48s``, ``3m12s``, ``2h05m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
