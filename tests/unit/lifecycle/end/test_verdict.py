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
"""Who ends a task, and what that means for its run."""

from __future__ import annotations

import threading
import time

import pytest

from airflow.providers.databricks_air.arguments import OnClear
from airflow.providers.databricks_air.lifecycle.attempts import Seen
from airflow.providers.databricks_air.lifecycle.end.helper_thread import ask_with_limit
from airflow.providers.databricks_air.lifecycle.end.verdict import judge_trigger, judge_worker


@pytest.mark.parametrize(
    ("seen", "is_adoptable", "timed_out", "on_clear", "cancel"),
    [
        (Seen("failed"), True, False, "rerun", True),
        (Seen("success"), True, False, "rerun", True),
        (Seen("skipped"), True, False, "rerun", True),
        (Seen("restarting"), True, False, "rerun", True),
        (Seen("restarting"), True, False, "adopt", False),
        (Seen("restarting"), True, True, "adopt", True),
        (Seen("failed"), True, False, "adopt", True),
        (Seen("running"), True, False, "rerun", False),
        (Seen("running"), True, True, "rerun", True),
        (Seen("running"), False, False, "rerun", True),
        (Seen("up_for_retry"), True, False, "rerun", False),
        (Seen("queued"), True, False, "rerun", False),
        (Seen("running", 2), False, False, "rerun", False),
        (None, True, False, "rerun", False),
        (None, True, True, "rerun", True),
        (None, False, False, "rerun", True),
    ],
)
def test_what_ends_a_worker_decides_over_the_run(
    seen: Seen | None, is_adoptable: bool, timed_out: bool, on_clear: OnClear, cancel: bool
) -> None:
    """A user's act and a timeout cancel; a lost worker leaves the run to the next try, if there is one."""
    verdict = judge_worker(
        seen, try_number=1, is_adoptable=is_adoptable, timed_out=timed_out, on_clear=on_clear
    )
    assert verdict.cancel is cancel
    assert verdict.why


@pytest.mark.parametrize(
    ("seen", "owner", "on_clear", "cancel"),
    [
        (None, None, "rerun", None),
        (None, (2, 9), "rerun", None),
        (Seen("deferred"), (1, 5), "rerun", False),
        (Seen("deferred"), None, "rerun", False),
        (Seen("failed"), (1, 5), "rerun", True),
        (Seen("success"), (1, 5), "rerun", True),
        (Seen(None), (1, 5), "rerun", True),
        (Seen("scheduled"), None, "rerun", None),
        (Seen("queued"), (1, 5), "rerun", None),
        (Seen("queued", 1, is_resuming=True), (1, 5), "rerun", False),
        (Seen("queued", 1, is_resuming=False), (1, 5), "rerun", True),
        (Seen("running"), None, "rerun", None),
        (Seen("running"), (1, 5), "rerun", None),
        (Seen("up_for_retry"), (1, 5), "rerun", False),
        (Seen("running"), (2, 9), "rerun", True),
        (Seen("deferred"), (2, 9), "rerun", True),
        (Seen("deferred", 2), (1, 5), "rerun", None),
        (Seen("deferred"), (2, 5), "rerun", False),
        (Seen("failed"), (2, 5), "rerun", False),
        (Seen(None), (2, 5), "rerun", False),
        (Seen("deferred"), (1, 9), "rerun", True),
        (Seen("running"), (1, 9), "rerun", True),
        (Seen("running"), None, "adopt", False),
        (Seen("failed"), (1, 5), "adopt", True),
    ],
)
def test_what_cancels_a_trigger_decides_over_the_run(
    seen: Seen | None, owner: tuple[int, int] | None, on_clear: OnClear, cancel: bool | None
) -> None:
    """A trigger that another triggerer took over leaves the run; one whose task a user ended cancels it.

    A task on its way back to a worker was resumed, or cleared: that is asked again. A newer attempt that has adopted
    the run answers for it, whatever became of the task since.
    """
    verdict = judge_trigger(seen, run_id=5, try_number=1, owner=owner, on_clear=on_clear)
    assert verdict.cancel is cancel
    assert verdict.why


def test_an_answer_in_time_is_returned() -> None:
    """What the question answers is what the caller gets."""
    assert ask_with_limit(lambda: "running", 30) == "running"


def test_a_question_that_hangs_is_no_answer() -> None:
    """The caller goes on at the limit, though the question still hangs."""
    release = threading.Event()
    started = time.monotonic()
    assert ask_with_limit(release.wait, 0.05) is None
    assert time.monotonic() - started < 5
    release.set()


def test_a_question_that_fails_is_no_answer() -> None:
    """An error of the question is not the caller's."""
    assert ask_with_limit(lambda: 1 / 0, 30) is None
