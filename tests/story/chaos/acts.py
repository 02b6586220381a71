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
"""What is done in a trial of each cause, from the start of its Dag run until it settles."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from functools import partial

import psutil

from tests.story.airflow_cluster import FINISHED, TaskKey, send, wait_for
from tests.story.chaos.ending import end_followed
from tests.story.chaos.injuries import USER_ACTS, at_moment, hold_result, is_gone, kill, kill_all, outage
from tests.story.chaos.ledger import CANCEL, GET, SUBMIT, TOKEN
from tests.story.chaos.rows import ACTS as USER_ROWS
from tests.story.chaos.rows import MOMENTS
from tests.story.chaos.trial import Trial

__all__ = ["ACTS"]

OUTAGE = 60.0
CLOCK = 600.0
GRACE = 30.0  # seconds that Kubernetes leaves a pod between SIGTERM and SIGKILL
# Of twenty trials eight are at the submission, eight at the first look, four at requests before them.
POINTS = ((SUBMIT, True), (GET, False), (SUBMIT, False), (GET, True), ("*", True))


def in_launch(hurt: Callable[[Trial], None], points: tuple[tuple[str, bool], ...]) -> Callable[[Trial], None]:
    """Return the act that hurts the process while one request of its launch has no answer."""

    def act(trial: Trial) -> None:
        path, after = points[trial.number % len(points)]
        skip = trial.random.randrange(4) if path == "*" else 0
        trial.slot.swallow(path, after=after, skip=skip)
        trial.start()
        held = trial.slot.wait_for_fault(path)
        hurt(trial)
        trial.verify(trial.slot.is_held(held), "the held request was answered")

    return act


def evict(trial: Trial) -> None:
    """SIGTERM to the supervisor of the task."""
    process = trial.process()
    sent = send(process.supervisor, signal.SIGTERM)
    trial.verify(sent, "the supervisor was gone before it got SIGTERM")
    wait_for(lambda: is_gone(process.pid), "the task's process to end", 90)


def while_waiting(hurt: Callable[[Trial], None]) -> Callable[[Trial], None]:
    """Return the act that hurts at a random moment of the wait."""

    def act(trial: Trial) -> None:
        trial.start()
        trial.wait_until_waiting()
        trial.say()
        time.sleep(trial.random.uniform(0, 3))
        hurt(trial)

    return act


def kill_at_resume(trial: Trial) -> None:
    """Kill while the request for the final metrics has no answer."""
    hold_result(trial, None)
    kill(trial)


def evict_pod(trial: Trial) -> None:
    """SIGTERM to the supervisor and the task at once, and SIGKILL 30 s later to what is left."""
    process = trial.process()
    sent = [send(pid, signal.SIGTERM) for pid in (process.supervisor, process.pid)]
    trial.verify(all(sent), "a process was gone before it got SIGTERM")
    end = time.monotonic() + GRACE
    while time.monotonic() < end and not is_gone(process.pid):
        time.sleep(0.2)
    for pid in (process.supervisor, process.pid):
        if not is_gone(pid) and psutil.pid_exists(pid):
            send(pid, signal.SIGKILL)


def pause_worker(trial: Trial) -> None:
    """Stop the task and what stands above it until a later try runs, and let them go on at a random moment."""
    process = trial.process()
    first = trial.view.try_number
    paused = [send(pid, signal.SIGSTOP) for pid in (process.supervisor, process.pid)]
    try:
        trial.verify(all(paused), "a process was gone before it was stopped")
        wait_for(lambda: trial.view.try_number > first, "the next try", 150)
        wait_for(lambda: trial.view.state in {"running", "deferred"}, "the next try to run", 60)
        time.sleep(trial.random.uniform(0, 8))
    finally:
        for pid in (process.pid, process.supervisor):
            send(pid, signal.SIGCONT)


def pause_in_launch(trial: Trial) -> None:
    """The same while the answer to the submission is held."""
    trial.slot.hold(SUBMIT, 3.0)
    trial.start()
    held = trial.slot.wait_for_fault(SUBMIT)
    trial.verify(trial.slot.is_held(held), "the submission was answered")
    pause_worker(trial)


def kill_supervisor(trial: Trial) -> None:
    """SIGKILL to what stands above the task."""
    process = trial.process()
    trial.verify(send(process.supervisor, signal.SIGKILL), "the supervisor was gone before it was killed")
    wait_for(lambda: trial.view.try_number > 1, "the next try", 150)


def mark_before_submit(trial: Trial) -> None:
    """Mark while the answer to the first request of the launch is held for longer than the signal takes."""
    trial.slot.hold("*", 12.0)
    trial.start()
    held = trial.slot.wait_for_fault()
    state = trial.view.state
    trial.airflow.client.mark(trial.key, "failed")
    trial.verify(state == "running", f"the task was {state} when the user acted")
    trial.verify(trial.slot.is_held(held), "the answer was given before the act was accepted")


def clear_then_mark(trial: Trial) -> None:
    """Clear while it waits, and mark as failed 0.1 to 4 s after the clear was seen."""

    def clear(trial: Trial) -> None:
        trial.airflow.client.clear(trial.key)

    at_moment(trial, "waiting", clear)
    time.sleep(trial.random.choice([0.1, 0.5, 1.5, 4.0]))
    trial.airflow.client.mark(trial.key, "failed")


def lose_node(trial: Trial) -> None:
    """SIGKILL to the task and its supervisor."""
    kill_all(trial, trial.process())


def lose_node_and_clear(trial: Trial) -> None:
    """A user clears before the heartbeat timeout."""
    lose_node(trial)
    time.sleep(trial.random.uniform(0, 5))
    state = trial.view.state
    trial.airflow.client.clear(trial.key)
    trial.verify(state == "running", f"the task was {state} when it was cleared")


def stall(trial: Trial) -> None:
    """Let the task's processes stand still until Airflow tries the task again, and then go on beside the new ones."""
    process, first = trial.process(), trial.view.try_number
    pids = (process.supervisor, process.pid)
    stopped = [send(pid, signal.SIGSTOP) for pid in pids]
    try:
        trial.verify(all(stopped), "a process was gone before it was stopped")
        wait_for(lambda: trial.view.state != "running" or trial.view.try_number > first, "the timeout", 150)
        if trial.number % 2 == 0:
            trial.wait_until_waiting(than=first)
    finally:
        went_on = [send(pid, signal.SIGCONT) for pid in pids]
    trial.verify(all(went_on), "Airflow had killed the process that stood still")


def redeliver(trial: Trial) -> None:
    """Wait until the broker has delivered the task's message a second time."""
    logs = [worker.log for worker in trial.airflow.workers]

    def deliveries() -> int:
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return sum("in Celery: " in line and trial.name in line for line in lines)

    with contextlib.suppress(TimeoutError):
        wait_for(lambda: deliveries() > 1, "the second delivery", 180)
    trial.verify(deliveries() > 1, "the message was delivered once")


def clear_twice(moment: str) -> Callable[[Trial], None]:
    """Return two clears, the second 0.1 to 4 s after the first."""

    def act(trial: Trial) -> None:
        def clear(trial: Trial) -> None:
            trial.airflow.client.clear(trial.key)

        at_moment(trial, moment, clear)
        first = trial.view.try_number
        wait_for(lambda: trial.view.try_number > first or trial.view.state != "restarting", "the clear", 60)
        time.sleep(trial.random.choice([0.1, 0.5, 1.5, 4.0]))
        trial.airflow.client.clear(trial.key)

    return act


def clear_finished(trial: Trial) -> None:
    """Clear after success."""
    trial.start()
    trial.wait_until_waiting()
    end_followed(trial)
    trial.wait_for_dag_run("success")
    trial.airflow.client.clear(trial.key)


def clear_failed(trial: Trial) -> None:
    """Clear after the run and the task have failed."""
    trial.slot.air.on(f"{trial.name}*").fails(after=1)
    trial.create_dag_run()
    trial.wait_for_dag_run("failed")
    trial.slot.air.on(f"{trial.name}*").hangs()
    trial.airflow.client.clear(trial.key)


def clear_sibling(trial: Trial) -> None:
    """Clear another task, then kill this one."""
    sibling = TaskKey(trial.key.dag_id, trial.name, "sibling")
    trial.airflow.client.wait_task(sibling, FINISHED)
    trial.airflow.client.clear(sibling)
    wait_for(lambda: trial.airflow.client.task(sibling).try_number > 1, "the sibling's second try")
    kill(trial)


def pause_dag(trial: Trial) -> None:
    """Pause the Dag for ten seconds over the end of the run, and let it go on."""
    trial.start()
    trial.wait_until_waiting()
    trial.say()
    client = trial.airflow.client
    client.pause(trial.key.dag_id)
    try:
        for run_id in trial.ledger.alive:
            trial.slot.air.release(run_id)
        time.sleep(10)
    finally:
        client.pause(trial.key.dag_id, False)
    client.wait_task(trial.key, FINISHED, 120)


def spoiled(path: str, **fault: object) -> Callable[[Trial], None]:
    """Return the act that spoils requests of the launch."""

    def act(trial: Trial) -> None:
        trial.slot.air.add_fault(path, **fault)
        trial.start()
        trial.slot.wait_for_fault(path)

    return act


NO_SUCH_RUN = {"status": 404, "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run does not exist"}
BAD_RUN = {"status": 400, "error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1 does not exist"}


def miss_at_first_look(trial: Trial) -> None:
    """One answer that there is no such run, in either way that the service says so."""
    spoiled(GET, **(BAD_RUN if trial.number % 2 else NO_SUCH_RUN))(trial)


def miss_at_retry(trial: Trial) -> None:
    """Kill, and let the next try's first look be answered that there is no such run."""
    kill(trial)
    before = trial.slot.last_number
    trial.slot.air.add_fault(GET, **(BAD_RUN if trial.number % 2 else NO_SUCH_RUN))
    trial.slot.wait_for_fault(GET, after=before)


def without(path: str, seconds: float, **fault: object) -> Callable[[Trial], None]:
    """Return the act that spoils all requests of the launch for some seconds from the first one on."""

    def act(trial: Trial) -> None:
        trial.slot.air.add_fault(path, times=-1, **fault)
        trial.start()
        trial.slot.wait_for_fault(path)
        time.sleep(seconds)
        trial.slot.air.clear_faults()

    return act


def in_outage(act: str, path: str = "*") -> Callable[[Trial], None]:
    """Return a user's act while the workspace, or a part of it, is away for 20 s."""

    def hurt(trial: Trial) -> None:
        with outage(trial, 20, path):
            USER_ACTS[act](trial)

    return while_waiting(hurt)


def refuse_cancel(trial: Trial) -> None:
    """Clear, and answer 403 to every cancel for ten seconds from the first one on."""
    refusal = {"status": 403, "error_code": "PERMISSION_DENIED", "message": "no permission to manage the run"}
    trial.slot.air.add_fault(CANCEL, then="status", times=-1, **refusal)
    trial.airflow.client.clear(trial.key)
    try:
        trial.slot.wait_for_fault(CANCEL)
        time.sleep(10)
    finally:
        trial.slot.air.clear_faults()


def hide_metrics(trial: Trial) -> None:
    """Answer 500 whenever the metrics are asked for, until all is over."""
    trial.slot.air.add_fault("*/mlflow/runs/get", then="status", status=500, times=-1)
    trial.start()
    trial.wait_until_waiting()


def rewrite_config(more: str) -> Callable[[Trial], None]:
    """Return the act that kills the process and writes another configuration file."""

    def hurt(trial: Trial) -> None:
        trial.write_config(more)
        kill(trial)

    return while_waiting(hurt)


def nothing(trial: Trial) -> None:
    """Let the run succeed within the first seconds."""
    trial.slot.air.on(f"{trial.name}*").succeeds(after=trial.random.uniform(0.0, 8.0))
    trial.create_dag_run()
    trial.airflow.client.wait_task(trial.key, FINISHED, 300)


def failing_run(trial: Trial) -> None:
    """Let two runs fail and the third succeed."""
    trial.slot.air.on(f"{trial.name}*").succeeds(after=2)
    trial.slot.air.on(f"{trial.name}*").fails(after=1).times(2)
    trial.create_dag_run()
    trial.airflow.client.wait_task(trial.key, FINISHED, 300)


def out_of_time(trial: Trial) -> None:
    """Let the run go on and on."""
    trial.start()
    trial.airflow.client.wait_task(trial.key, FINISHED, 300)


def mapped(trial: Trial) -> None:
    """Kill one of five in its launch or its wait."""
    trial.start()
    victim = TaskKey(trial.key.dag_id, trial.name, "train", trial.random.randrange(len(trial.keys)))
    pid = trial.airflow.client.wait_pid(victim)
    trial.verify(send(pid, signal.SIGKILL), "the process was gone before it was killed")


def by_clock(ahead: float) -> Callable[[Trial], None]:
    """Return a run in a workspace whose clock is so many seconds ahead of Airflow's."""

    def act(trial: Trial) -> None:
        trial.slot.clock.ahead = ahead
        trial.start()
        trial.wait_until_waiting()
        off = trial.runs[0]["start_time"] / 1000 - time.time()
        trial.verify(abs(off - ahead) < 0.5 * abs(ahead), f"the workspace's clock was {off:.0f} s ahead")

    return act


def away(path: str) -> Callable[[Trial], None]:
    """Return a minute without the workspace, or a part of it."""

    def hurt(trial: Trial) -> None:
        with outage(trial, OUTAGE, path):
            pass

    return while_waiting(hurt)


ACTS: dict[str, Callable[[Trial], None]] = {
    **{
        f"{act}-{moment}": partial(at_moment, moment=moment, act=USER_ACTS[act])
        for act, *_ in USER_ROWS
        for moment, *_ in MOMENTS
    },
    "two-clears-waiting": clear_twice("waiting"),
    "two-clears-submit": clear_twice("submit"),
    "clear-finished": clear_finished,
    "clear-failed": clear_failed,
    "clear-sibling": while_waiting(clear_sibling),
    "mark-failed-last": partial(at_moment, moment="waiting", act=USER_ACTS["mark-failed"]),
    "dagrun-timeout": out_of_time,
    "paused": pause_dag,
    "kill-at-submit": in_launch(kill, POINTS),
    # What was not submitted when SIGTERM came is submitted by the next try: one run in either case.
    "eviction-at-submit": in_launch(evict, POINTS[:4]),
    "lost-answer": spoiled(SUBMIT, then="reset", after=True),
    "missing-at-first-look": miss_at_first_look,
    "missing-at-retry": while_waiting(miss_at_retry),
    "refused-at-launch": without("*", 3, then="status", status=401, error_code="UNAUTHENTICATED"),
    "no-token-at-launch": without(TOKEN, 15, then="reset"),
    "kill-while-waiting": while_waiting(kill),
    "kill-at-resume": kill_at_resume,
    "eviction": while_waiting(evict),
    "pod-eviction": while_waiting(evict_pod),
    "node-loss": while_waiting(lose_node),
    "worker-pause": while_waiting(pause_worker),
    "worker-pause-at-submit": pause_in_launch,
    "supervisor-kill": while_waiting(kill_supervisor),
    "clear-then-mark": clear_then_mark,
    "mark-before-submit": mark_before_submit,
    "node-loss-then-clear": while_waiting(lose_node_and_clear),
    "kill-last": while_waiting(kill),
    "zombie": while_waiting(stall),
    "celery-redelivery": while_waiting(redeliver),
    "workspace-outage": away("*"),
    "token-outage": away(TOKEN),
    "clock-ahead": by_clock(-CLOCK),
    "clock-behind": by_clock(CLOCK),
    "token-outage-at-mark": in_outage("mark-failed", TOKEN),
    "outage-at-mark": in_outage("mark-failed"),
    "outage-at-clear": in_outage("clear"),
    "refused-cancel": while_waiting(refuse_cancel),
    "metrics-unreadable": hide_metrics,
    "config-changed": rewrite_config("command: 'echo another'\n"),
    "config-broken": rewrite_config("command: [\n"),
    "mark-detached": partial(at_moment, moment="waiting", act=USER_ACTS["mark-failed"]),
    "clear-adopted": partial(at_moment, moment="waiting", act=USER_ACTS["clear"]),
    "nothing": nothing,
    "failing-run": failing_run,
    "execution-timeout": out_of_time,
    "mapped": mapped,
}
