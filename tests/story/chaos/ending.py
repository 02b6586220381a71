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
"""The end of a trial: what is followed is let go, and everything that was promised is counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.story.airflow_cluster import FINISHED, ApiRefusedError, wait_for
from tests.story.chaos.slots import experiment_of

if TYPE_CHECKING:
    from tests.story.airflow_cluster import TaskKey
    from tests.story.chaos.trial import Trial

__all__ = ["count_end", "end_followed", "finish"]


def finish(trial: Trial) -> None:
    """Settle, count, let the followed runs succeed, wait for the task's end, and count again."""
    trial.say()
    trial.settle(trial.cause.patience)
    trial.say()
    end_followed(trial)
    count_end(trial)


def end_followed(trial: Trial) -> None:
    """Release runs that somebody asks for until the task is over; an orphan is never released."""
    released: set[int] = set()

    def ask() -> bool:
        followed, alive = trial.ledger.followed(), trial.ledger.alive
        for run_id in alive:
            is_new = run_id not in released
            if is_new and run_id in followed and _is_settled(trial, run_id):
                released.add(run_id)
                trial.slot.air.release(run_id)
        return all(view.state in FINISHED for view in trial.views)

    wait_for(ask, f"{trial.name} to end; {trial.describe()}", 200, every=1.0)


def _is_settled(trial: Trial, run_id: int) -> bool:
    """Return whether a run is old enough to be asked for by someone who stays."""
    started = next(run["start_time"] for run in trial.runs if run["run_id"] == run_id)
    return trial.slot.clock.now() - started / 1000 > 3.0


def count_end(trial: Trial) -> None:
    """Count what is left once the task is over; a cancel that is under way gets twenty seconds."""
    ledger, seen = trial.ledger, trial.observed
    end = time.monotonic() + (3 if trial.expected.gap else 20)
    while ledger.alive and time.monotonic() < end:
        time.sleep(0.5)
    views = [(key, trial.airflow.client.task(key)) for key in trial.keys]
    states = {str(view.state) for _, view in views}
    seen.runs, seen.left = len(ledger.runs), len(ledger.alive)
    # Asking for the end of a run that has ended already does nothing.
    seen.cancels = sum(run["state"].get("result_state") == "CANCELED" for run in ledger.runs)
    seen.task = states.pop() if len(states) == 1 else "mixed"
    seen.tries = max(view.try_number for _, view in views)
    seen.results = sum(_has_result(trial, key) for key, _ in views)
    ended, over = ledger.ended_at(), max((view.ended or 0.0 for _, view in views), default=0.0)
    seen.late = round(max(0.0, over - ended), 1) if ended and seen.results and over else None
    _count_lines(trial)


def _has_result(trial: Trial, key: TaskKey) -> bool:
    runs = trial.runs if key.map_index < 0 else _of_index(trial, key.map_index)
    if not runs:
        return False
    newest = runs[-1]["run_id"]
    if trial.stock:  # it returns nothing; it pushes the run's id
        return bool(trial.airflow.client.xcom(key, "run_id") == newest)
    value = trial.airflow.client.xcom(key) or {}
    return bool(value.get("state") == "SUCCESS" and value["run_id"] == newest)


def _of_index(trial: Trial, index: int) -> list[dict[str, Any]]:
    return [run for run in trial.runs if experiment_of(run) == f"{trial.name}-{index}"]


def _count_lines(trial: Trial) -> None:
    """Look for the lines of the run whose result the task has returned, in the logs of all its tries."""
    seen = trial.observed
    if trial.stock or not seen.results or len(trial.keys) > 1:
        return
    newest = int(trial.runs[-1]["run_id"])
    text = "\n".join(_log(trial, number) for number in range(1, seen.tries + 1))
    counts = [text.count(f"{trial.line_of(newest)}{n:03d}.") for n in range(1, trial.said.get(newest, 0) + 1)]
    seen.lost = sum(count == 0 for count in counts)
    seen.repeated = sum(count - 1 for count in counts if count)


def _log(trial: Trial, number: int) -> str:
    """Return the log of a try; a re-created Dag run has not got all of them."""
    try:
        return trial.airflow.client.log(trial.key, number)
    except ApiRefusedError as error:
        if error.status == 404:
            return ""
        raise
