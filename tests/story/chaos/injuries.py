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
"""Ways to hurt a task at one moment, each of which verifies that it did."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from tests.story.airflow_cluster import AIRFLOW_3, TaskProcess, send, wait_for
from tests.story.chaos.ledger import GET, SUBMIT
from tests.story.chaos.trial import Trial

__all__ = ["USER_ACTS", "at_moment", "is_gone", "kill", "kill_all", "outage"]


def kill(trial: Trial) -> None:
    """SIGKILL the process that runs the task; it was there, and it is gone."""
    process = trial.process()
    trial.verify(send(process.pid, signal.SIGKILL), "the process was gone before it was killed")
    wait_for(lambda: is_gone(process.pid), "the killed process to be gone", 20, every=0.1)


def kill_all(trial: Trial, process: TaskProcess) -> None:
    """SIGKILL the task and what stands above it, at once."""
    killed = [send(pid, signal.SIGKILL) for pid in (process.supervisor, process.pid)]
    trial.verify(all(killed), "a process was gone before it was killed")
    wait_for(lambda: is_gone(process.pid), "the killed process to be gone", 20, every=0.1)


def is_gone(pid: int) -> bool:
    """Return whether no such process runs any more."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _delete(trial: Trial) -> None:
    client, key = trial.airflow.client, trial.key
    if AIRFLOW_3:  # it refuses to delete a Dag run that is running
        client.mark_run(key.dag_id, key.run_id, "failed")
    client.delete_run(key.dag_id, key.run_id)
    trial.create_dag_run()


USER_ACTS: dict[str, Callable[[Trial], None]] = {
    "clear": lambda trial: trial.airflow.client.clear(trial.key),
    "mark-failed": lambda trial: trial.airflow.client.mark(trial.key, "failed"),
    "mark-success": lambda trial: trial.airflow.client.mark(trial.key, "success"),
    "delete": _delete,
}


def at_moment(trial: Trial, moment: str, act: Callable[[Trial], None]) -> None:
    """Start the trial, bring it to a moment, act, and verify that the moment had not passed."""
    _MOMENTS[moment](trial, act)


def _at_submit(trial: Trial, act: Callable[[Trial], None]) -> None:
    _during_hold(trial, SUBMIT, act)


def _at_look(trial: Trial, act: Callable[[Trial], None]) -> None:
    _during_hold(trial, GET, act)


def _during_hold(trial: Trial, path: str, act: Callable[[Trial], None]) -> None:
    """Act while the answer to a request of the launch, whose work is done, is held."""
    trial.slot.hold(path, trial.random.uniform(2.5, 6.0))
    trial.start()
    held = trial.slot.wait_for_fault(path)
    time.sleep(trial.random.uniform(0.0, 0.5))
    state = trial.view.state
    act(trial)
    trial.verify(state == "running", f"the task was {state} when the user acted")
    trial.verify(trial.slot.is_held(held), "the answer was given before the act was accepted")


def _at_handover(trial: Trial, act: Callable[[Trial], None]) -> None:
    """Act right after the first look; deferrable: before the trigger has looked."""
    trial.start()
    wait_for(lambda: _answered_looks(trial), f"the first look; {trial.describe()}", 120, every=0.05)
    time.sleep(trial.random.uniform(0.0, 1.2))
    state = trial.view.state
    act(trial)
    trial.verify(state in {"running", "deferred"}, f"the task was {state} when the user acted")
    if trial.mode == "deferrable":
        looks = trial.ledger.looks(int(trial.runs[0]["run_id"]))
        trial.verify(looks <= 1, "the trigger had begun to watch when the act was accepted")


def _answered_looks(trial: Trial) -> bool:
    return any(r.status for r in trial.slot.air.requests("GET", GET))


def _at_waiting(trial: Trial, act: Callable[[Trial], None]) -> None:
    trial.start()
    trial.wait_until_waiting()
    trial.say()
    time.sleep(trial.random.uniform(0.0, 3.0))
    state = trial.view.state
    act(trial)
    want = "deferred" if trial.mode == "deferrable" else "running"
    trial.verify(state == want, f"the task was {state} when the user acted")


def _at_resume(trial: Trial, act: Callable[[Trial], None]) -> None:
    """Act while a request of the process that returns the result is held."""
    held = hold_result(trial, trial.random.uniform(2.5, 6.0))
    time.sleep(trial.random.uniform(0.0, 0.5))
    state = trial.view.state
    act(trial)
    trial.verify(state == "running", f"the task was {state} when the user acted")
    trial.verify(trial.slot.is_held(held), "the answer was given before the act was accepted")


def hold_result(trial: Trial, seconds: float | None) -> Any:
    """Let the run end and hold the request with which the task asks for its final metrics.

    :param seconds: None for ever.
    :returns: the request.
    """
    trial.start()
    trial.wait_until_waiting()
    trial.say()
    path = "*/mlflow/runs/get"
    before = trial.slot.last_number
    if seconds is None:
        trial.slot.swallow(path, after=False)
    else:
        trial.slot.hold(path, seconds)
    for run_id in trial.ledger.alive:
        trial.slot.air.release(run_id)
    held = trial.slot.wait_for_fault(path, after=before)
    wait_for(lambda: trial.view.state == "running", "the task to be running", 60)
    return held


_MOMENTS: dict[str, Callable[[Trial, Callable[[Trial], None]], None]] = {
    "submit": _at_submit,
    "look": _at_look,
    "handover": _at_handover,
    "waiting": _at_waiting,
    "resume": _at_resume,
}


@contextlib.contextmanager
def outage(trial: Trial, seconds: float, path: str = "*") -> Iterator[None]:
    """Reset every connection to the workspace for a while; the block takes place in it.

    :param path: only of the requests to it.
    """
    before = trial.slot.last_number
    trial.slot.air.add_fault(path, then="reset", times=-1)
    end = time.monotonic() + seconds
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        trial.slot.air.clear_faults()
    met = any(r.fault for r in trial.slot.air.requests(after=before))
    trial.verify(met, "nobody asked the workspace while it was away")
