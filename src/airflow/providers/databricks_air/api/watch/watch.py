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
"""Follows a run until its end: run id in; changes, log lines and one ending out.

The watch itself is a generator that says what it wants next: a call, a pause, or that something be
told. Two short drivers, one for a worker's thread and one for an event loop, do what it wants.
Nothing that happens to the network ends a watch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output, get_run
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError
from airflow.providers.databricks_air.api.launch.permissions import LateGrant
from airflow.providers.databricks_air.api.watch.metric_lines import MetricLines
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.narration import Narrator
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Ended", "Event", "Lines", "Pause", "Said", "WatchPlan", "awatch", "watch"]


class LineSource(Protocol):
    """What the watch needs of a log stream; ``api/log_stream.py`` is one."""

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


@dataclass(frozen=True)
class WatchPlan:
    """How a run is followed.

    :param run_id: id of the run.
    :param polling_interval: seconds between two looks at the state.
    :param deadline: epoch seconds at which the watch gives up; None for never.
    :param queue_timeout: seconds that an attempt may wait for accelerators; None for as long as it takes.
    :param metrics_interval: seconds between two looks at the metrics; None for none.
    :param host: the workspace URL, for the addresses that are told; empty for none.
    :param experiment_access: who gets access to the MLflow experiment as soon as it is known, as entries of
        an access list.
    :param is_resumed: whether what the first look finds was told by an earlier watch.
    :param patience_denied: seconds over which 401 or 403 must be all that is heard before it is believed.
    :param patience_missing: the same for 'does not exist'.
    """

    run_id: int
    polling_interval: float = 30.0
    deadline: float | None = None
    queue_timeout: float | None = None
    metrics_interval: float | None = None
    host: str = ""
    experiment_access: Sequence[Mapping[str, str]] = ()
    is_resumed: bool = False
    patience_denied: float = 300.0
    patience_missing: float = 60.0


@dataclass(frozen=True)
class Pause:
    """Wait that many seconds."""

    seconds: float


@dataclass(frozen=True)
class Said:
    """A line about the run that is worth a line in the task's log.

    :param text: the line.
    :param is_trouble: whether it is about trouble on the way to the workspace.
    """

    text: str
    is_trouble: bool = False


@dataclass(frozen=True)
class Lines:
    """New lines of the run's own log, in order."""

    lines: list[LogLine]


@dataclass(frozen=True)
class Ended:
    """Why the watch is over; always the last thing that it tells.

    :param why: the run ended; a deadline passed; or the service says for certain that we cannot see the run.
    :param run: what was seen last; None when the run was never seen.
    :param output: what the latest attempt says beside its state.
    :param message: for people; empty when the run says it all.
    """

    why: Literal["terminal", "expired", "queue_expired", "missing", "denied"]
    run: Run | None
    output: TaskOutput = field(default_factory=TaskOutput)
    message: str = ""


Event: TypeAlias = Said | Lines | Ended
Step: TypeAlias = Call[Any] | Pause | Event
Steps: TypeAlias = Generator[Step, Any, None]


def watch(
    client: SyncClient,
    plan: WatchPlan,
    *,
    stream: LineSource | None = None,
    renew: Callable[[], Credentials] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Follow a run from this thread.

    :param client: performs the calls.
    :param plan: which run, and how.
    :param stream: where its log lines come from; None for no lines.
    :param renew: returns fresh credentials after they were refused.
    :param sleep: waits that many seconds.
    """
    steps = _Watch(plan, stream).steps()
    step = next(steps, None)
    while step is not None:
        if isinstance(step, Call):
            try:
                answer = client.perform(step)
            except ApiError as error:
                if renew and isinstance(error, AuthError):
                    client.credentials = renew()
                step = _throw(steps, error)
            else:
                step = _send(steps, answer)
            continue
        if isinstance(step, Pause):
            sleep(step.seconds)
        else:
            yield step
        step = _send(steps, None)


async def awatch(
    client: AsyncClient,
    plan: WatchPlan,
    *,
    stream: LineSource | None = None,
    renew: Callable[[], Awaitable[Credentials]] | None = None,
) -> AsyncIterator[Event]:
    """Follow a run from the running event loop; parameters as for ``watch``."""
    steps = _Watch(plan, stream).steps()
    step = next(steps, None)
    while step is not None:
        if isinstance(step, Call):
            try:
                answer = await client.perform(step)
            except ApiError as error:
                if renew and isinstance(error, AuthError):
                    client.credentials = await renew()
                step = _throw(steps, error)
            else:
                step = _send(steps, answer)
            continue
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            yield step
        step = _send(steps, None)


def _send(steps: Steps, answer: Any) -> Step | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _throw(steps: Steps, error: ApiError) -> Step | None:
    try:
        return steps.throw(error)
    except StopIteration:
        return None


class _Watch:
    """What one watch remembers between two looks."""

    def __init__(
        self, plan: WatchPlan, stream: LineSource | None, now: Callable[[], float] = time.time
    ) -> None:
        self._plan = plan
        self._stream = stream
        self._now = now
        self._run: Run | None = None
        self._outputs: dict[int, TaskOutput] = {}
        self._narrator = Narrator(plan.host)
        self._last_words: list[Said] = []
        self._metrics = MetricLines(plan.metrics_interval, now)
        self._grant = LateGrant(plan.run_id, plan.experiment_access)
        self._refused_since: tuple[type[ApiError], float] | None = None
        self._unreachable_since: float | None = None

    def steps(self) -> Steps:
        look_at = 0.0
        while True:
            wait = 0.0
            if self._run is None or not self._run.is_terminal:
                if self._now() >= look_at:
                    ending, wait = yield from self._look()
                    # A deadline between two looks is a look.
                    look_at = self._now() + self._until_deadline(wait)
                    if ending:
                        yield ending
                        return
                wait = max(0.0, look_at - self._now())
            if self._run is not None:
                yield from self._read_lines(self._run)
                yield from self._read_metrics(self._run)
                if self._run.is_terminal and (self._stream is None or self._stream.drained):
                    yield from self._last_words
                    yield Ended("terminal", self._run, self._output(self._run))
                    return
                if self._stream is not None:
                    wait = (
                        self._stream.next_delay
                        if self._run.is_terminal
                        else min(wait, self._stream.next_delay)
                    )
            # More lines that are there already are no reason to wait; others may run in between.
            is_behind = self._stream is not None and self._run is not None and not self._stream.next_delay
            yield Pause(0.0 if is_behind else self._until_deadline(wait))

    def _look(self) -> Generator[Step, Any, tuple[Ended | None, float]]:
        """Ask for the state once; return the ending, if this is one, and the seconds to the next look."""
        interval = self._plan.polling_interval
        try:
            run: Run = yield get_run(self._plan.run_id).once(timeout=30.0)
        except ApiError as error:
            yield from self._tell_trouble(error)
            ending = self._believed(error) or self._expired()
            return ending, max(interval, error.retry_after or 0.0)
        yield from self._tell_recovery()
        yield from self._ask_output(run)
        experiment = self._output(run).mlflow_experiment_id
        if warning := (yield from self._grant.poll(experiment, is_over=run.is_terminal)):
            yield Said(warning, is_trouble=True)
        is_told = self._plan.is_resumed and self._run is None
        self._run = run
        said = [Said(text) for text in self._narrator.changes(run, self._output(run), self._now())]
        if run.is_terminal:
            # The end is told behind the last lines.
            self._last_words = [] if is_told else said
        elif not is_told:
            yield from said
        return (None if run.is_terminal else self._expired()), interval

    def _ask_output(self, run: Run) -> Generator[Step, Any, None]:
        """Read what the latest attempt says, while it waits and until its MLflow run is known."""
        attempt = run.latest
        if attempt is None or not attempt.run_id:
            return
        known = self._outputs.get(attempt.run_id)
        if known and known.mlflow_run_id and not run.is_waiting:
            return
        try:
            self._outputs[attempt.run_id] = yield get_output(attempt.run_id).once(timeout=30.0)
        except ApiError:
            # It is only ever an addition, and 404 is its way to say 'not yet'.
            return

    def _output(self, run: Run) -> TaskOutput:
        return self._outputs.get(run.latest.run_id, TaskOutput()) if run.latest else TaskOutput()

    def _read_lines(self, run: Run) -> Generator[Step, Any, None]:
        if self._stream is not None:
            lines = yield from self._stream.poll(run)
            if lines:
                yield Lines(lines)

    def _read_metrics(self, run: Run) -> Generator[Step, Any, None]:
        if not run.is_terminal:
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
        self._refused_since = None

    def _believed(self, error: ApiError) -> Ended | None:
        """Return an ending once 'denied' or 'missing' was all that was heard for long enough."""
        kind = next((kind for kind in (AuthError, NotFoundError) if isinstance(error, kind)), None)
        if kind is None:
            self._refused_since = None
            return None
        if self._refused_since is None or self._refused_since[0] is not kind:
            self._refused_since = (kind, self._now())
        heard_for = self._now() - self._refused_since[1]
        if kind is AuthError and heard_for >= self._plan.patience_denied:
            return Ended(
                "denied",
                self._run,
                message=f"the workspace has refused access for {heard_for:.0f} s: {error}",
            )
        if kind is NotFoundError and heard_for >= self._plan.patience_missing:
            return Ended("missing", self._run, message=f"the workspace does not know the run: {error}")
        return None

    def _expired(self) -> Ended | None:
        plan, run, now = self._plan, self._run, self._now()
        if plan.deadline is not None and now >= plan.deadline:
            return Ended("expired", run, message="the task's execution_timeout has passed")
        if plan.queue_timeout is not None and run is not None and run.is_waiting:
            waited = now - run.waiting_since / 1000
            if run.waiting_since and waited >= plan.queue_timeout:
                limit = f"queue_timeout is {plan.queue_timeout:g} s"
                message = f"no accelerators after {waited:.0f} s of waiting ({limit})"
                return Ended("queue_expired", run, message=message)
        return None

    def _until_deadline(self, wait: float) -> float:
        """Shorten a pause so that it ends with the next deadline."""
        run, plan, now = self._run, self._plan, self._now()
        limits = [plan.deadline] if plan.deadline is not None else []
        if plan.queue_timeout is not None and run is not None and run.is_waiting and run.waiting_since:
            limits.append(run.waiting_since / 1000 + plan.queue_timeout)
        # A tenth of a second keeps a passed deadline from becoming a tight loop.
        return max(0.1, min([wait, *(limit - now for limit in limits)]))
