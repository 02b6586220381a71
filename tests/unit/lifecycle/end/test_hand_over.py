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
"""How long a task's process stays for the trigger of its run, and what it concludes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow.providers.databricks_air.lifecycle.attempts import Seen
from airflow.providers.databricks_air.lifecycle.end.hand_over import HAND_OVER_SECONDS, HandOver
from airflow.providers.databricks_air.lifecycle.owner.record import OWNER_KEY, POSITION_KEY

RUN = 7
TI = SimpleNamespace(dag_id="dag", run_id="manual", task_id="train", map_index=-1, try_number=1)


class GoneError(Exception):
    """Airflow's answer to an attempt that is over."""

    error = SimpleNamespace(detail={"status_code": 410})


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let Airflow's XComs be these; an error is raised."""
    values: dict[str, Any] = {OWNER_KEY: [1, RUN]}

    def get_one(*, key: str, **_: Any) -> Any:
        if isinstance(value := values.get(key), Exception):
            raise value
        return value

    monkeypatch.setattr(XCom, "get_one", get_one)
    return values


@pytest.mark.parametrize(
    ("state", "position", "next_try_knows", "cancel"),
    [
        ("deferred", 1, True, False),
        ("failed", None, True, True),
        ("success", None, True, True),
        (None, None, True, True),
        ("scheduled", None, True, False),
        ("running", None, True, False),
    ],
)
def test_it_leaves_as_soon_as_it_is_clear_whose_the_run_is(
    xcoms: dict[str, Any], state: str | None, position: int | None, next_try_knows: bool, cancel: bool
) -> None:
    """A trigger that has the run, a user's act, or a task that goes on elsewhere ends the stay at once."""
    xcoms[POSITION_KEY] = position and {"try_number": position}
    began = time.monotonic()
    verdict = HandOver(TI, RUN, "rerun", lambda: Seen(state), next_try_knows).verdict(lambda: False)
    assert verdict.cancel is cancel
    assert time.monotonic() - began < HAND_OVER_SECONDS / 2


@pytest.mark.parametrize(
    ("state", "next_try_knows"), [("deferred", True), ("queued", False)], ids=["untaken", "no store"]
)
def test_it_stays_while_only_it_could_end_the_run(
    xcoms: dict[str, Any], state: str, next_try_knows: bool
) -> None:
    """Without a trigger, and where a cleared task's next try would not find the run, it stays its time."""
    began = time.monotonic()
    verdict = HandOver(TI, RUN, "rerun", lambda: Seen(state), next_try_knows).verdict(lambda: False)
    assert verdict.cancel is None
    assert time.monotonic() - began >= HAND_OVER_SECONDS


def test_it_stays_until_a_newer_attempt_says_which_run_is_its_own(xcoms: dict[str, Any]) -> None:
    """A cleared task's next attempt may be deferred, too, before it has said so: then it has another run."""
    xcoms[OWNER_KEY] = None
    states = iter([Seen("deferred", 1), Seen("queued", 2), Seen("running", 2), Seen("deferred", 2)])

    def ask() -> Seen:
        seen = next(states)
        if seen.state == "deferred" and seen.try_number == 2:
            time.sleep(HAND_OVER_SECONDS)
            xcoms[OWNER_KEY] = [2, RUN + 1]
        return seen

    verdict = HandOver(TI, RUN, "rerun", ask, False).verdict(lambda: False)
    assert verdict.cancel is True


def test_a_refused_question_is_a_clear(xcoms: dict[str, Any]) -> None:
    """Airflow 3.4 answers an attempt that was cleared no question but for the state."""
    xcoms[OWNER_KEY] = xcoms[POSITION_KEY] = GoneError()
    assert HandOver(TI, RUN, "rerun", lambda: Seen(None), True).verdict(lambda: False).cancel is True
    assert HandOver(TI, RUN, "adopt", lambda: Seen("queued"), False).verdict(lambda: True).cancel is None
