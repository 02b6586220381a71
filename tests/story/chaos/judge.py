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
"""What a trial came to, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.story.chaos.causes import Outcome

__all__ = ["Observed", "Verdict", "judge"]


@dataclass
class Observed:
    """What was counted.

    :param runs: runs created.
    :param alive: runs alive when the trial had settled, before anything was released.
    :param unfollowed: of those, the ones that nobody asked for and nobody had asked to end.
    :param left: runs alive when everything was over and nobody was to be waited for any more.
    :param cancels: runs that ended because somebody asked for that.
    :param task: final state of the task, or of all mapped ones together.
    :param tries: the task's last try.
    :param results: task instances whose XCom holds the result of their newest run.
    :param lost: lines of the followed run that are in no log of the task.
    :param repeated: lines that are there more than once.
    :param late: seconds from the run's end to the task's end; None where the run did not end first.
    :param error: why the trial could not be finished.
    :param thrown: why the trial does not count: what should have hurt did not.
    """

    runs: int = 0
    alive: int = 0
    unfollowed: int = 0
    left: int = 0
    cancels: int = 0
    task: str | None = None
    tries: int = 0
    results: int = 0
    lost: int = 0
    repeated: int = 0
    late: float | None = None
    error: str = ""
    thrown: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a trial.

    :param duplicates: runs more than there may be, created or alive side by side.
    :param orphans: runs that are alive without anyone who follows or ends them.
    :param extra_tries: tries more than the row allows.
    :param gap: runs left alive where the row says why nobody can end them.
    :param wrong: sentences on whatever else is not as the row says.
    """

    duplicates: int = 0
    orphans: int = 0
    extra_tries: int = 0
    gap: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything is as the row says."""
        return not (self.duplicates or self.orphans or self.extra_tries or self.wrong)


def judge(seen: Observed, expected: Outcome, mapped: int = 1) -> Verdict:
    """Compare what was counted with what the row says.

    :param mapped: task instances of the trial.
    """
    unowned = max(seen.unfollowed, seen.left)
    gap = min(unowned, 1) if expected.gap else 0
    surplus = seen.runs - (expected.most or expected.runs)
    beside = seen.alive - mapped
    found = (check(seen, expected, mapped) for check in _CHECKS)
    return Verdict(
        duplicates=max(0, surplus, beside),
        orphans=unowned - gap,
        extra_tries=max(0, seen.tries - (expected.most_tries or expected.tries)),
        gap=gap,
        wrong=[sentence for sentence in found if sentence],
    )


def _finished(seen: Observed, expected: Outcome, mapped: int) -> str:
    return f"not finished: {seen.error}" if seen.error else ""


def _task(seen: Observed, expected: Outcome, mapped: int) -> str:
    return "" if seen.task == expected.task else f"the task is {seen.task}, not {expected.task}"


def _result(seen: Observed, expected: Outcome, mapped: int) -> str:
    if expected.result is None or seen.results == (mapped if expected.result else 0):
        return ""
    return "there is a result" if seen.results else "the result is missing"


def _too_few(seen: Observed, expected: Outcome, mapped: int) -> str:
    return f"{seen.runs} runs, not {expected.runs}" if seen.runs < expected.runs else ""


def _cancels(seen: Observed, expected: Outcome, mapped: int) -> str:
    if expected.gap is not None:
        return ""
    want = {"none": 0, "older": seen.runs - 1, "all": seen.runs}[expected.ended]
    unowned = max(seen.unfollowed, seen.left)
    # A run that was not ended is an orphan or a duplicate already.
    return (
        f"{seen.cancels} runs were ended, not {want}"
        if seen.cancels > want
        or (seen.cancels < want and not unowned and seen.alive <= mapped and seen.runs >= expected.runs)
        else ""
    )


def _lines(seen: Observed, expected: Outcome, mapped: int) -> str:
    return f"{seen.lost} lines are lost" if seen.lost else ""


def _late(seen: Observed, expected: Outcome, mapped: int) -> str:
    late = seen.late is not None and seen.late > expected.within
    return f"the task ended {seen.late:.0f} s after its run" if late else ""


_CHECKS: tuple[Callable[[Observed, Outcome, int], str], ...] = (
    _finished,
    _task,
    _result,
    _too_few,
    _cancels,
    _lines,
    _late,
)
