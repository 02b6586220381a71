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
"""What is done in a trial of each cause, from the start of its Dag run to the end of its task."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.story.airflow_cluster import AIRFLOW_3, FINISHED, HEARTBEAT_TIMEOUT, TaskKey, send, wait_for
from tests.story.chaos.trial import Trial

__all__ = ["ACTS"]

OUTAGE = 60.0


def kill_at_submit(trial: Trial) -> None:
    """Kill while one request of the launch is held, before or after its work is done."""
    skip, after = launch_point(trial)
    trial.slot.hold_request(skip, after)
    trial.start()
    trial.slot.wait_for_held()
    trial.kill()
    if trial.random.random() < 0.5:  # the next try finds a live run, or one that has ended already
        trial.wait_until_waiting(than=1)
    end_runs(trial)


def launch_point(trial: Trial) -> tuple[int, bool]:
    """Return a request of the launch and whether its work is done; the trials walk through all of them."""
    requests = trial.slot.launch_requests
    # Backwards, before and after in turn: even a few trials include the submission.
    index = (requests - 1) - (trial.number // 2) % requests
    return index, trial.number % 2 == 0


def end_runs(trial: Trial) -> None:
    """Release runs as they appear until the task is over."""

    def ask() -> bool:
        trial.release()
        return all(view.state in FINISHED for view in trial.views)

    wait_for(ask, f"{trial.name} to end; {trial.describe()}", 300, every=1.0)


def kill_while_waiting(trial: Trial) -> None:
    """Kill at a random moment of the wait."""
    trial.start()
    trial.wait_until_waiting()
    time.sleep(trial.random.uniform(0, 5))
    trial.kill()
    trial.wait_until_waiting(than=1)
    end_runs(trial)


def kill_at_resume(trial: Trial) -> None:
    """Kill when the run is over and its result is not returned yet."""
    trial.start()
    trial.wait_until_waiting()
    if trial.mode == "deferrable":
        trial.release()
        trial.airflow.client.wait_task(trial.key, {"scheduled", "queued", "running", *FINISHED})
        trial.slot.hold_request(skip=0, after=False)  # the first of the process that resumes
        trial.slot.wait_for_held()
    else:
        trial.slot.hold_request(skip=0, after=False)
        trial.slot.wait_for_held()
        trial.release()
        wait_for(lambda: not trial.alive, "the run to end")
    trial.kill()
    trial.wait_for_try(than=1)


def evict(trial: Trial) -> None:
    """SIGTERM to the supervisor while the task waits."""
    trial.start()
    trial.wait_until_waiting()
    send(trial.process().supervisor, signal.SIGTERM)
    trial.wait_until_waiting(than=1)
    end_runs(trial)


def evict_at_submit(trial: Trial) -> None:
    """SIGTERM to the supervisor while a request of the launch is held."""
    skip, after = launch_point(trial)
    trial.slot.hold_request(skip, after)
    trial.start()
    trial.slot.wait_for_held()
    send(trial.process().supervisor, signal.SIGTERM)
    trial.wait_until_waiting(than=1)
    end_runs(trial)


def lose_node(trial: Trial) -> None:
    """SIGKILL to the task and its supervisor at once."""
    trial.start()
    trial.wait_until_waiting()
    process = trial.process()
    send(process.supervisor, signal.SIGKILL)
    send(process.pid, signal.SIGKILL)
    wait_for(lambda: trial.view.try_number > 1, "the heartbeat timeout", HEARTBEAT_TIMEOUT + 180)
    trial.wait_until_waiting(than=1)
    end_runs(trial)


def mark(state: str) -> Callable[[Trial], None]:
    """Return the act of a user who marks the task."""

    def act(trial: Trial) -> None:
        trial.start()
        trial.wait_until_waiting()
        trial.airflow.client.mark(trial.key, state)
        if trial.expected.alive:
            return  # and nobody releases the run: it has to be there when all is counted
        wait_for(lambda: not trial.alive, "the run to be cancelled", 90)

    return act


def clear_live(trial: Trial) -> None:
    """Clear while the run is alive."""
    trial.start()
    trial.wait_until_waiting()
    trial.airflow.client.clear(trial.key)
    trial.wait_until_waiting(run=trial.expected.runs, than=1)
    end_runs(trial)


def clear_finished(trial: Trial) -> None:
    """Clear after success."""
    trial.start()
    trial.wait_until_waiting()
    end_runs(trial)
    trial.wait_for_dag_run("success")
    trial.airflow.client.clear(trial.key)
    trial.wait_until_waiting(run=2, than=1)
    end_runs(trial)


def clear_failed(trial: Trial) -> None:
    """Clear after the run and the task have failed."""
    trial.slot.air.on(f"{trial.name}*").fails(after=1)
    trial.create_dag_run()
    trial.wait_for_dag_run("failed")
    trial.slot.air.on(f"{trial.name}*").hangs()
    trial.airflow.client.clear(trial.key)
    trial.wait_until_waiting(run=2, than=1)
    end_runs(trial)


def clear_sibling(trial: Trial) -> None:
    """Clear another task, then kill this one."""
    trial.start()
    sibling = TaskKey(trial.key.dag_id, trial.name, "sibling")
    trial.airflow.client.wait_task(sibling, FINISHED)
    trial.wait_until_waiting()
    trial.airflow.client.clear(sibling)
    wait_for(lambda: trial.airflow.client.task(sibling).try_number > 1, "the sibling's second try")
    trial.kill()
    trial.wait_until_waiting(than=1)
    end_runs(trial)


def recreate_finished(trial: Trial) -> None:
    """Delete a finished Dag run and create it again."""
    trial.start()
    trial.wait_until_waiting()
    end_runs(trial)
    trial.wait_for_dag_run("success")
    trial.airflow.client.delete_run(trial.key.dag_id, trial.name)
    trial.create_dag_run()
    trial.wait_until_waiting(run=2)
    end_runs(trial)


def delete_live(trial: Trial) -> None:
    """Delete the Dag run while the run is alive, and create it again."""
    trial.start()
    trial.wait_until_waiting()
    client, key = trial.airflow.client, trial.key
    if AIRFLOW_3:  # it refuses to delete a Dag run that is running
        client.mark_run(key.dag_id, key.run_id, "failed")
    client.delete_run(key.dag_id, key.run_id)
    wait_for(lambda: not trial.alive, "the run to be cancelled", 90)
    trial.create_dag_run()
    trial.wait_until_waiting(run=2)
    end_runs(trial)


def failing_run(trial: Trial) -> None:
    """Let two runs fail and the third succeed."""
    trial.slot.air.on(f"{trial.name}*").succeeds(after=2)
    trial.slot.air.on(f"{trial.name}*").fails(after=1).times(2)
    trial.create_dag_run()
    trial.airflow.client.wait_task(trial.key, FINISHED, 300)


def execution_timeout(trial: Trial) -> None:
    """Let the run go on and on."""
    trial.start()
    trial.airflow.client.wait_task(trial.key, FINISHED, 300)


def mapped(trial: Trial) -> None:
    """Kill one of ten in its launch or its wait, then let all end."""
    trial.start()
    victim = TaskKey(trial.key.dag_id, trial.name, "train", trial.random.randrange(10))
    send(trial.airflow.client.wait_pid(victim), signal.SIGKILL)
    wait_for(lambda: len(trial.runs) >= 10, f"ten runs; {trial.describe()}", 300)
    end_runs(trial)


def workspace_outage(trial: Trial) -> None:
    """Stop the local AI Runtime for a minute; it would lose an attempt that runs, but not one that waits."""
    trial.slot.air.on(f"{trial.name}*").waits().succeeds()
    trial.create_dag_run()
    trial.wait_until_waiting()
    trial.slot.stop()
    try:
        time.sleep(OUTAGE)
    finally:
        trial.slot.start()
    end_runs(trial)


ACTS: dict[str, Callable[[Trial], None]] = {
    "kill-at-submit": kill_at_submit,
    "kill-while-waiting": kill_while_waiting,
    "kill-at-resume": kill_at_resume,
    "eviction": evict,
    "eviction-at-submit": evict_at_submit,
    "node-loss": lose_node,
    "mark-failed": mark("failed"),
    "mark-success": mark("success"),
    "mark-detached": mark("failed"),
    "clear-live": clear_live,
    "clear-adopted": clear_live,
    "clear-finished": clear_finished,
    "clear-failed": clear_failed,
    "clear-sibling": clear_sibling,
    "recreate-finished": recreate_finished,
    "delete-live": delete_live,
    "failing-run": failing_run,
    "execution-timeout": execution_timeout,
    "mapped": mapped,
    "workspace-outage": workspace_outage,
}
