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
"""The rows of the reliability table: what may happen to a task, and what must become of its run.

The chaos runner, the story tests and the tables of the documentation are all made from them.
"""

from __future__ import annotations

from dataclasses import replace

from tests.story.chaos.causes import AUTHOR, NO_CHANCE, Cause, Gap, Mode, Outcome

__all__ = ["AIRFLOW", "CAUSES", "GROUPS", "SEAMS", "cause"]

USER = "A user acts"
LAUNCH = "The launch is disturbed"
WORKER = "The task's process or its worker goes away"
TRIGGERER = "The triggerer goes away"
AIRFLOW = "Airflow itself is disturbed"
WORKSPACE = "The workspace is disturbed"
AUTHORS = "The author's settings and the run itself"
GROUPS = (USER, LAUNCH, WORKER, TRIGGERER, AIRFLOW, WORKSPACE, AUTHORS)

FOLLOWED = Outcome("Stays alive. The next try of the task follows it; no second run is started.", tries=2)
WATCHED_ON = Outcome("Stays alive. The watch goes on where it was; the task needs no further try.")
CANCELLED = Outcome("Is cancelled.", task="failed", ended="all", result=False)
REPLACED = Outcome("Is cancelled; a fresh one is started.", runs=2, ended="older", tries=2)
FRESH = Outcome("The old run has ended; a fresh one is started.", runs=2, tries=2)
ORPHANS = ":ref:`orphans <orphans>` lists and ends it"

# The acts, as (key, words), and what becomes of a run that is alive and of one that has ended.
ACTS = (
    ("clear", "clears the task", REPLACED, FRESH),
    (
        "mark-failed",
        "marks the task as failed",
        CANCELLED,
        Outcome("Has ended; the task stays failed.", task="failed", result=None),
    ),
    (
        "mark-success",
        "marks the task as successful",
        replace(CANCELLED, task="success"),
        Outcome("Has ended; the task stays successful.", result=None),
    ),
    (
        "delete",
        "deletes the Dag run and creates it again under the same id, at once",
        # Airflow may take the end of the deleted task's process for that of the new one, and try again.
        replace(REPLACED, tries=1, most_tries=2),
        replace(FRESH, tries=1, most_tries=2),
    ),
)
# The moments, as (key, words), and whether the run is alive in them.
MOMENTS = (
    ("submit", "while the submission is not answered yet", True),
    ("look", "while the launch takes its first look at the new run", True),
    ("handover", "in the first moments after the launch, before the watch has begun", True),
    ("waiting", "while the task waits for its run", True),
    ("resume", "when the run has ended and the result is not returned yet", False),
)


IN_STORY: dict[tuple[str, str], tuple[Mode, ...]] = {
    ("clear", "submit"): ("deferrable",),
    ("mark-failed", "submit"): ("sync",),
    ("mark-failed", "waiting"): ("deferrable",),
}


def _acts() -> tuple[Cause, ...]:
    return tuple(
        Cause(
            f"{act}-{moment}",
            f"a user {does}, {when}",
            USER,
            live if is_alive else ended,
            trials=20 if moment != "waiting" else 10,
            story=IN_STORY.get((act, moment), ()),
        )
        for act, does, live, ended in ACTS
        for moment, when, is_alive in MOMENTS
    )


_TWICE = Outcome(
    "All but the newest are cancelled; the newest is followed.", runs=2, most=3, ended="older", tries=3
)
_USER_MORE = (
    Cause("two-clears-waiting", "a user clears the task twice within seconds", USER, _TWICE, trials=20),
    Cause(
        "two-clears-submit",
        "a user clears the task twice within seconds, the first time during the submission",
        USER,
        _TWICE,
        trials=20,
    ),
    Cause(
        "clear-then-mark",
        "a user clears the task and marks it as failed seconds later",
        USER,
        replace(CANCELLED, words="All are cancelled.", most=2, most_tries=3),
        trials=20,
    ),
    Cause(
        "mark-silent",
        "a user marks the task as failed, and Airflow does not answer its process before it is killed",
        USER,
        replace(
            CANCELLED,
            words="Is cancelled as soon as Airflow answers, by a small process that is left behind.",
        ),
        modes=("sync",),
        shared=True,
    ),
    Cause(
        "mark-before-submit",
        "a user marks the task as failed in the launch, before anything is submitted",
        USER,
        replace(CANCELLED, words="Is never created.", runs=0),
        trials=20,
    ),
    Cause("clear-finished", "a user clears the task after it has succeeded", USER, FRESH),
    Cause("clear-failed", "a user clears the task after its run has failed", USER, FRESH, shape="once"),
    Cause(
        "clear-sibling",
        "a user clears another task of the Dag run, and the task's process is killed",
        USER,
        FOLLOWED,
        modes=("sync",),
        shape="siblings",
    ),
    Cause(
        "mark-failed-last",
        "a user marks the task as failed, and it has ``retries=0``",
        USER,
        CANCELLED,
        shape="once",
    ),
    Cause(
        "dagrun-timeout", "``dagrun_timeout`` passes", USER, replace(CANCELLED, task="skipped"), shape="brief"
    ),
    Cause("paused", "the Dag is paused while the task waits, and resumed later", USER, WATCHED_ON),
)

_LAUNCH = (
    Cause(
        "kill-at-submit",
        "the task's process is killed (SIGKILL, out of memory) in the launch",
        LAUNCH,
        Outcome(
            "Is created once. The next try follows it, or creates it if it was not created yet.", tries=2
        ),
        trials=20,
        story=("sync",),
    ),
    Cause(
        "eviction-at-submit",
        "the worker gets SIGTERM in the middle of the launch",
        LAUNCH,
        FOLLOWED,
        trials=20,
    ),
    Cause("lost-answer", "the answer to the submission is lost", LAUNCH, WATCHED_ON, trials=20),
    Cause(
        "missing-at-first-look",
        "the first look at the new run is answered 'does not exist'",
        LAUNCH,
        WATCHED_ON,
        trials=20,
        story=("deferrable",),
    ),
    Cause(
        "missing-at-retry",
        "the task's process is killed, and the next try's first look is answered 'does not exist'",
        LAUNCH,
        FOLLOWED,
        modes=("sync",),
        trials=20,
    ),
    Cause(
        "refused-at-launch",
        "the workspace answers 401 for three seconds of the launch",
        LAUNCH,
        WATCHED_ON,
    ),
    Cause(
        "no-token-at-launch",
        "the workspace gives out no tokens for 15 seconds of the launch",
        LAUNCH,
        WATCHED_ON,
        shape="principal",
    ),
)

_WORKER = (
    Cause(
        "kill-while-waiting", "the task's process is killed while it waits", WORKER, FOLLOWED, modes=("sync",)
    ),
    Cause(
        "kill-at-resume",
        "the run has ended and the task's process is killed before it has returned the result",
        WORKER,
        Outcome("Has ended. The next try returns its result; no second run is started.", tries=2),
        trials=20,
    ),
    Cause(
        "eviction",
        "the worker gets SIGTERM (eviction, node drain, rolling deploy)",
        WORKER,
        FOLLOWED,
        modes=("sync",),
        trials=20,
        story=("sync",),
    ),
    Cause(
        "pod-eviction",
        "all processes of the task's pod get SIGTERM, and SIGKILL 30 seconds later",
        WORKER,
        FOLLOWED,
        modes=("sync",),
    ),
    Cause(
        "node-loss",
        "the whole worker disappears without a signal (node loss, pod gone)",
        WORKER,
        FOLLOWED,
        modes=("sync",),
    ),
    Cause(
        "node-loss-then-clear",
        "the whole worker disappears, and a user clears the task before Airflow has noticed",
        WORKER,
        replace(REPLACED, runs=1, most=2, words="Is followed, or cancelled and replaced by a fresh one."),
        modes=("sync",),
    ),
    Cause(
        "worker-pause",
        "the task's process stands still until the next try follows its run, and goes on then",
        WORKER,
        FOLLOWED,
        modes=("sync",),
        trials=20,
    ),
    Cause(
        "worker-pause-at-submit",
        "the same in the launch, while the submission is not answered yet",
        WORKER,
        FOLLOWED,
        trials=20,
    ),
    Cause(
        "supervisor-kill",
        "the process above the task's own is killed, and the task's goes on alone",
        WORKER,
        FOLLOWED,
        modes=("sync",),
    ),
    Cause(
        "kill-last",
        "the task's process is killed while it waits, and it has ``retries=0``",
        WORKER,
        Outcome(
            "Stays alive: no code of the task runs any more.",
            task="failed",
            result=False,
            gap=Gap(NO_CHANCE, f"{ORPHANS}; with ``retries`` of 1 or more the next try follows it"),
        ),
        modes=("sync",),
        shape="once",
    ),
    Cause(
        "zombie",
        "the task's processes stand still until Airflow gives them up, and go on beside the next try",
        WORKER,
        FOLLOWED,
        modes=("sync",),
        trials=20,
    ),
    Cause(
        "celery-redelivery",
        "the broker delivers the task's message a second time (``visibility_timeout``)",
        WORKER,
        WATCHED_ON,
        modes=("sync",),
        executors=("CeleryExecutor",),
    ),
    Cause(
        "celery-shutdown",
        "the Celery worker is shut down at once (SIGQUIT) and started again",
        WORKER,
        FOLLOWED,
        modes=("sync",),
        shared=True,
        executors=("CeleryExecutor",),
    ),
    Cause(
        "celery-kill",
        "the Celery worker is killed with all that it runs, and started again",
        WORKER,
        FOLLOWED,
        modes=("sync",),
        shared=True,
        executors=("CeleryExecutor",),
    ),
)


def _triggerer(key: str, title: str, **named: object) -> Cause:
    given = {"modes": ("deferrable",), "shared": True, **named}
    return Cause(key, title, TRIGGERER, WATCHED_ON, **given)  # type: ignore[arg-type]


_TRIGGERER = (
    _triggerer("triggerer-kill", "the only triggerer is killed and started again"),
    _triggerer("triggerer-term", "the only triggerer gets SIGTERM and is started again (rolling deploy)"),
    _triggerer("triggerer-pause", "the only triggerer stands still for 40 seconds"),
    _triggerer("triggerers-kill", "one of two triggerers is killed"),
    _triggerer(
        "triggerers-pause", "one of two triggerers stands still for 40 seconds, and the other takes over"
    ),
    _triggerer("trigger-lost", "the triggerer cannot load the trigger"),
    _triggerer(
        "trigger-lost-last",
        "the triggerer cannot load the trigger, and the task has ``retries=0``",
        shape="once",
    ),
    _triggerer(
        "trigger-overtaken",
        "Airflow schedules the deferred task while its trigger still watches (a late triggerer)",
    ),
    Cause(
        "mark-untaken",
        "a user marks the task as failed in the seconds between its deferral and the triggerer's taking it up",
        TRIGGERER,
        CANCELLED,
        modes=("deferrable",),
        shared=True,
        trials=20,
    ),
    Cause(
        "mark-unwatched",
        "a user marks the task as failed while no triggerer runs",
        TRIGGERER,
        Outcome(
            "Stays alive: no code of the task runs anywhere that could end it.",
            task="failed",
            result=False,
            gap=Gap(NO_CHANCE, f"{ORPHANS}; clearing the task ends it, too, on Airflow 3.3 and later"),
        ),
        modes=("deferrable",),
        shared=True,
    ),
    Cause(
        "clear-unwatched",
        "a user clears the task while no triggerer runs",
        TRIGGERER,
        replace(REPLACED, words="Is cancelled by the new try, which starts a fresh one."),
        modes=("deferrable",),
        shared=True,
    ),
)

_AIRFLOW = (
    Cause("scheduler-kill", "the scheduler is killed with all that runs below it", AIRFLOW, FOLLOWED,
          modes=("sync",), shared=True, patience=400.0, executors=("LocalExecutor",)),
    Cause("database-restart", "Airflow's PostgreSQL is restarted", AIRFLOW, WATCHED_ON, shared=True),
    Cause(
        "api-outage",
        "Airflow's API server is away for a minute",
        AIRFLOW,
        WATCHED_ON,
        exceptions={("sync", "3.3"): FOLLOWED},
        shape="patient",
        shared=True,
    ),
    Cause(
        "api-kill-at-deferral",
        "Airflow's API server is killed while a task is deferred, and started again ten seconds later",
        AIRFLOW,
        replace(WATCHED_ON, words="Stays alive. The watch goes on, or the next try follows it.", most_tries=2),
        modes=("deferrable",),
        shape="patient",
        shared=True,
        patience=400.0,
    ),
    Cause(
        "api-outage-hasty",
        "Airflow's API server is away until the retries are used up (``retries`` x ``retry_delay`` too short)",
        AIRFLOW,
        Outcome(
            "Stays alive: Airflow 3 ends a task that cannot reach the API server, and fails every further try "
            "before any code of it runs.",
            task="failed",
            result=False,
            tries=2,
            gap=Gap(NO_CHANCE, f"{ORPHANS}; a longer ``retry_delay`` follows it"),
        ),
        modes=("sync",),
        exceptions={("sync", "2.11"): WATCHED_ON},
        shape="hasty",
        shared=True,
    ),
)  # fmt: skip

_OUTAGE_ENDS = "Is cancelled as soon as the workspace answers."
_WORKSPACE = (
    Cause("workspace-outage", "the workspace cannot be reached for a minute", WORKSPACE, WATCHED_ON),
    Cause(
        "clock-ahead",
        "Airflow's clock is ten minutes ahead of the workspace's",
        WORKSPACE,
        WATCHED_ON,
    ),
    Cause(
        "clock-behind",
        "Airflow's clock is ten minutes behind the workspace's",
        WORKSPACE,
        WATCHED_ON,
    ),
    Cause(
        "token-outage",
        "the workspace gives out no tokens for a minute, and the old ones run out",
        WORKSPACE,
        WATCHED_ON,
        shape="principal",
    ),
    Cause(
        "token-outage-at-mark",
        "a user marks the task as failed while the workspace gives out no tokens for 20 seconds",
        WORKSPACE,
        replace(CANCELLED, words=_OUTAGE_ENDS),
        shape="principal",
    ),
    Cause(
        "outage-at-mark",
        "a user marks the task as failed while the workspace cannot be reached for 20 seconds",
        WORKSPACE,
        replace(CANCELLED, words=_OUTAGE_ENDS),
        trials=20,
    ),
    Cause(
        "outage-at-clear",
        "a user clears the task while the workspace cannot be reached for 20 seconds",
        WORKSPACE,
        REPLACED,
        trials=20,
    ),
    Cause(
        "refused-cancel",
        "a user clears the task, and the workspace refuses (403) to end the old run for ten seconds",
        WORKSPACE,
        REPLACED,
        trials=20,
    ),
    Cause(
        "metrics-unreadable",
        "the final metrics cannot be read (500)",
        WORKSPACE,
        replace(WATCHED_ON, words="Has ended; the task ends within seconds, without metrics.", result=None, within=30.0),
    ),
)  # fmt: skip

_AUTHORS = (
    Cause(
        "nothing",
        "nothing happens, the run ends within seconds, and the task has ``retries=0``",
        AUTHORS,
        replace(WATCHED_ON, words="Succeeds; the task returns its result."),
        trials=20,
        shape="once",
    ),
    Cause(
        "config-changed",
        "the configuration file changes between two tries (git-sync)",
        AUTHORS,
        FOLLOWED,
        modes=("sync",),
        shape="file",
    ),
    Cause(
        "config-broken",
        "the configuration file is broken between two tries",
        AUTHORS,
        FOLLOWED,
        modes=("sync",),
        shape="file",
    ),
    Cause(
        "mark-detached",
        'a user marks the task as failed, and the operator has ``on_kill="detach"``',
        AUTHORS,
        Outcome(
            "Stays alive; ending it is up to you.",
            task="failed",
            result=False,
            gap=Gap(AUTHOR, "whoever chose ``detach``"),
        ),
        shape="detached",
    ),
    Cause(
        "clear-adopted",
        'a user clears the task while its run is alive, and the operator has ``on_clear="adopt"``',
        AUTHORS,
        FOLLOWED,
        shape="adopting",
    ),
    Cause(
        "failing-run",
        "the run fails and the task has tries left",
        AUTHORS,
        Outcome("Has ended; every further try starts a fresh one.", runs=3, tries=3),
    ),
    Cause("execution-timeout", "``execution_timeout`` passes", AUTHORS, CANCELLED, shape="timed"),
    Cause(
        "mapped",
        "one of five mapped tasks loses its process",
        AUTHORS,
        Outcome("Each index has a run of its own. The next try of the killed one follows its run.", runs=5, tries=2),
        shape="mapped",
    ),
)  # fmt: skip

CAUSES: tuple[Cause, ...] = (
    *_acts(),
    *_USER_MORE,
    *_LAUNCH,
    *_WORKER,
    *_TRIGGERER,
    *_AIRFLOW,
    *_WORKSPACE,
    *_AUTHORS,
)


# What a launch, an act, a look or a hand-over may break, by the promise that it breaks; each is tried by a test.
SEAMS: dict[str, tuple[str, ...]] = {
    "an act in the launch": (
        *("clear-submit", "mark-failed-submit", "clear-look", "mark-failed-look", "mark-failed-handover"),
        *("mark-untaken", "mark-silent", "mark-before-submit"),
    ),
    "two acts": ("two-clears-waiting", "two-clears-submit", "clear-then-mark"),
    "one 'does not exist'": ("missing-at-first-look", "missing-at-retry"),
    "a trigger that is lost": ("trigger-lost", "trigger-lost-last"),
    "another configuration": ("config-broken", "config-changed"),
    "another life": (
        "clear-handover",
        "clear-finished",
        "delete-submit",
        "delete-look",
        "node-loss-then-clear",
    ),
    "a cancel that is not taken": ("outage-at-mark", "outage-at-clear", "refused-cancel"),
    "a worker that wakes up late": ("worker-pause", "worker-pause-at-submit"),
    "a late triggerer": ("trigger-overtaken", "triggerers-pause"),
    "nothing at all": ("nothing",),
    "a refusal, and an extra": ("refused-at-launch", "metrics-unreadable"),
}


def cause(key: str) -> Cause:
    """Return the row of that name."""
    return next(one for one in CAUSES if one.key == key)
