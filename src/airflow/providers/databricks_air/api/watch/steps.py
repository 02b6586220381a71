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
"""What a watch wants next: a call, a look at the run, or that something be told.

The watch itself is a generator that sends nothing and waits for nothing, so that a worker's thread and an
event loop that follows thousands of runs do the same with what they see. Nothing that happens to the network
ends a watch.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output, get_run
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.launch.permissions import LateGrant
from airflow.providers.databricks_air.api.watch.events import Ended, Event, Found, Lines, Said
from airflow.providers.databricks_air.api.watch.limits import Refusals, WatchPlan, expired, next_limit
from airflow.providers.databricks_air.api.watch.metric_lines import MetricLines
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.narration import Narrator
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["LineSource", "Look", "Step", "Steps", "Watch", "look_at", "send", "throw"]

# A deadline that has passed must not become a tight loop.
SHORTEST_WAIT = 0.1
LOOK_TIMEOUT = 30.0
OUTPUT_TIMEOUT = 30.0
FIRST_OUTPUT_DELAY = 1.0
LONGEST_OUTPUT_DELAY = 300.0
NO_OUTPUT = TaskOutput()


class LineSource(Protocol):
    """What a watch needs of a log stream; ``api/logs/stream.py`` is one."""

    @property
    def drained(self) -> bool:
        """Whether a finished run has nothing more to say."""
        ...

    @property
    def next_delay(self) -> float:
        """Seconds until asking again is worth while."""
        ...

    def poll(self, run: Run) -> Generator[Call[Any], Any, list[LogLine]]:
        """Ask for what is new: yields calls, is sent their answers, returns lines."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """Wait for news of the run: the answer is the run, or None when there was no news in time.

    :param until: epoch seconds at which the watch has something else to do; infinity for nothing.
    :param is_urgent: whether the run may have ended just now, so that it is worth looking at once.
    :param is_over: whether the run's end is known, so that only the time matters.
    """

    until: float = math.inf
    is_urgent: bool = False
    is_over: bool = False


def look_at(run_id: int) -> Call[Run]:
    """Return the one try of a request for the state of a run."""
    return get_run(run_id).once(timeout=LOOK_TIMEOUT)


Step: TypeAlias = Call[Any] | Look | Event
Steps: TypeAlias = Generator[Step, Any, None]


def send(steps: Steps, answer: Any) -> Step | None:
    """Give a watch what it asked for; return what it wants next, None at its end."""
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def throw(steps: Steps, error: ApiError) -> Step | None:
    """Tell a watch that its call failed; return what it wants next, None at its end."""
    try:
        return steps.throw(error)
    except StopIteration:
        return None


class Watch:
    """What one watch remembers between two looks.

    :param plan: which run, and how.
    :param stream: where its log lines come from; None for no lines.
    :param now: returns epoch seconds.
    """

    __slots__ = (
        "_grant",
        "_last_words",
        "_lines_at",
        "_metrics",
        "_narrator",
        "_now",
        "_output_at",
        "_output_delay",
        "_outputs",
        "_plan",
        "_refusals",
        "_run",
        "_stream",
        "_unreachable_since",
        "_was_speaking",
    )

    def __init__(
        self, plan: WatchPlan, stream: LineSource | None, now: Callable[[], float] = time.time
    ) -> None:
        self._plan = plan
        self._stream = stream
        self._now = now
        self._run: Run | None = None
        self._outputs: dict[int, TaskOutput] = {}
        self._output_at = 0.0
        self._output_delay = 0.0
        self._lines_at = 0.0
        self._was_speaking = False
        self._narrator = Narrator(plan.host)
        self._last_words: list[Said] = []
        self._metrics = MetricLines(plan.metrics_interval, now) if plan.metrics_interval else None
        self._grant = LateGrant(plan.run_id, plan.experiment_access) if plan.experiment_access else None
        self._refusals = Refusals(plan)
        self._unreachable_since: float | None = None

    def steps(self) -> Steps:
        """Follow the run to its end; yields what is wanted, is sent or thrown what came of it."""
        is_urgent = False
        while True:
            ending = yield from self._look(is_urgent)
            if ending:
                yield ending
                return
            run, is_urgent = self._run, False
            if run is None:
                continue
            if self._lines_at <= self._now():
                is_urgent = yield from self._read_lines(run)
            yield from self._read_metrics(run)
            if run.is_terminal and (self._stream is None or self._stream.drained):
                yield from self._last_words
                yield Ended("terminal", run, self._output(run))
                return

    def _look(self, is_urgent: bool) -> Generator[Step, Any, Ended | None]:
        """Wait for news or for the time of something else; return the ending, if this is one."""
        is_over = self._run is not None and self._run.is_terminal
        try:
            run: Run | None = yield Look(self._wake_at(), is_urgent, is_over)
        except ApiError as error:
            yield from self._tell_trouble(error)
            now = self._now()
            ending = self._refusals.ending(error, self._run, now)
            return ending or expired(self._plan, self._run, now)
        if run is not None:
            yield from self._see(run)
        elif self._run is not None and self._now() >= self._output_at:
            yield from self._ask_output(self._run)
        is_over = self._run is not None and self._run.is_terminal
        return None if is_over else expired(self._plan, self._run, self._now())

    def _wake_at(self) -> float:
        """Return when there is something to do beside looking at the run."""
        run = self._run
        if run is None:
            return self._limit()
        times = [] if self._stream is None else [self._lines_at]
        if not run.is_terminal:
            times += [self._limit(), self._output_at]
            if self._metrics is not None and self._output(run).mlflow_run_id:
                times.append(self._metrics.due_at)
        return min(times, default=math.inf)

    def _limit(self) -> float:
        limit = next_limit(self._plan, self._run)
        return math.inf if limit is None else max(limit, self._now() + SHORTEST_WAIT)

    def _see(self, run: Run) -> Generator[Step, Any, None]:
        yield from self._tell_recovery()
        is_news = self._run is None or (run.phase, run.latest) != (self._run.phase, self._run.latest)
        is_told = self._plan.is_resumed and self._run is None
        self._run = run
        if is_news:
            self._output_at = self._output_delay = self._lines_at = 0.0
        if self._now() >= self._output_at:
            yield from self._ask_output(run, is_told=is_told)
        else:
            yield from self._tell_changes(run, is_told=is_told)

    def _ask_output(self, run: Run, *, is_told: bool = False) -> Generator[Step, Any, None]:
        """Read what the latest attempt says, while it waits and until its MLflow run is known."""
        attempt = run.latest
        is_wanted = attempt is not None and attempt.run_id and not self._is_complete(run)
        if attempt is not None and is_wanted:
            # It is only ever an addition, and 404 is its way to say 'not yet'.
            known = self._output(run).mlflow_run_id
            with contextlib.suppress(ApiError):
                self._outputs[attempt.run_id] = yield get_output(attempt.run_id).once(timeout=OUTPUT_TIMEOUT)
            if self._output(run).mlflow_run_id != known:
                yield Found(self._output(run))
        self._output_at = math.inf
        if is_wanted and not self._is_complete(run):
            first = min(FIRST_OUTPUT_DELAY, self._plan.polling_interval)
            self._output_delay = min(LONGEST_OUTPUT_DELAY, 2 * self._output_delay or first)
            self._output_at = self._now() + self._output_delay
        yield from self._give_access(run)
        yield from self._tell_changes(run, is_told=is_told)

    def _is_complete(self, run: Run) -> bool:
        """Whether the output has nothing to add to what is known."""
        if run.is_terminal and self._plan.is_relay and self._grant is None:
            return True
        return bool(self._output(run).mlflow_run_id) and not run.is_waiting and not self._is_granting

    @property
    def _is_granting(self) -> bool:
        return self._grant is not None and self._grant.is_pending

    def _give_access(self, run: Run) -> Generator[Step, Any, None]:
        if self._grant is not None:
            experiment = self._output(run).mlflow_experiment_id
            if warning := (yield from self._grant.poll(experiment, is_over=run.is_terminal)):
                yield Said(warning, is_trouble=True)

    def _tell_changes(self, run: Run, *, is_told: bool) -> Iterator[Said]:
        said = [Said(text) for text in self._narrator.changes(run, self._output(run), self._now())]
        if run.is_terminal:
            # The end is told behind the last lines.
            self._last_words = [] if is_told else said
        elif not is_told:
            yield from said

    def _output(self, run: Run) -> TaskOutput:
        return self._outputs.get(run.latest.run_id, NO_OUTPUT) if run.latest else NO_OUTPUT

    def _read_lines(self, run: Run) -> Generator[Step, Any, bool]:
        """Tell the new lines; return whether the log has just gone still, as it does when the script ends."""
        if self._stream is None:
            return False
        lines = yield from self._stream.poll(run)
        if lines:
            yield Lines(lines)
        self._lines_at = self._now() + self._stream.next_delay
        went_still = self._was_speaking and not lines
        self._was_speaking = bool(lines)
        return went_still and not run.is_terminal

    def _read_metrics(self, run: Run) -> Generator[Step, Any, None]:
        if self._metrics is not None and not run.is_terminal:
            line = yield from self._metrics.poll(self._output(run).mlflow_run_id)
            if line:
                yield Said(line)

    def _tell_trouble(self, error: ApiError) -> Iterator[Said]:
        if self._unreachable_since is None:
            self._unreachable_since = self._now()
            yield Said(
                f"Run {self._plan.run_id} cannot be seen at the moment, waiting goes on: {error}",
                is_trouble=True,
            )

    def _tell_recovery(self) -> Iterator[Said]:
        if self._unreachable_since is not None:
            seconds = self._now() - self._unreachable_since
            yield Said(f"Run {self._plan.run_id} can be seen again after {seconds:.0f} s")
        self._unreachable_since = None
        self._refusals.forget()
