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
"""Five hundred runs for half an hour, and what goes wrong on the way: none is lost, none told wrongly, none late.

The half hour passes in virtual time. The runs end evenly over all of it, before, during and after each trouble; a
third of them waits for accelerators until it fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow.providers.databricks_air.api.http.calls import submit_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.watch.limits import RENEW_AFTER
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime
from tests.story.fleet.follower import Story
from tests.virtual_time import SharedClock

pytestmark = [pytest.mark.long, pytest.mark.plain, pytest.mark.timeout(1200)]

TREE = Path(__file__).resolve().parent.parent.parent.parent
RUNS = 500
HALF_HOUR = 1800.0
INDEX = "/api/2.0/ai-training/workflows"
LISTING = "/api/2.2/jobs/runs/list"
OFF = {"times": -1, "status": 404, "error_code": "FEATURE_DISABLED"}
BEGIN, END = 600.0, 1200.0
"""The seconds between which there is trouble."""
PROMPT = 32.0
"""Seconds by which an end may be noticed late while nothing is wrong: the polling interval, and a question."""
AFTERWARDS = 45.0
"""Seconds after the end of a trouble by which all is known that happened in it: the longest pause of a connection,
and a look at everybody."""
CONFIRMED = 300.0
"""Seconds after which a run is asked for itself, whatever the lists say."""


@dataclass
class Fleet:
    """Runs on a server, one after the other of which ends.

    :param air: the server.
    :param clock: the file of its clock.
    :param runs: their ids.
    """

    air: LocalAirRuntime
    clock: Path
    runs: list[int] = field(default_factory=list)
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    began: float = 0.0
    renewals: int = 0
    troubles: int = 0

    def submit(self, experiment: str, count: int) -> None:
        """Submit runs."""
        client = SyncClient(TokenCredentials(self.air.url, self.air.token))
        config = load_run_config(
            f"experiment_name: {experiment}\ncompute: {{accelerator_type: GPU_1xA10, num_accelerators: 1}}\n"
            "command: echo\nmax_retries: 0\n"
        )
        first = launch(client, config, token=uuid4().hex)
        body = next(run["body"] for run in self.air.runs() if run["run_id"] == first)
        again = [submit_run({**body, "idempotency_token": uuid4().hex}) for _ in range(count - 1)]
        self.runs += [first, *(client.perform(call).run_id for call in again)]
        client.close()

    def follow(self, *events: tuple[float, str, list[Any], dict[str, Any]], wrong: int = 0) -> None:
        """Follow all runs for half an hour.

        :param events: what happens.
        :param wrong: how many of them are followed with a wrong token.
        """
        # Every third run waits; neighbours end at different times.
        mixed = [run_id for place in range(3) for run_id in self.runs[place::3]]
        good, bad = mixed[wrong:], mixed[:wrong]
        watched = [{"token": self.air.token, "runs": good}]
        watched += [{"token": "wrong", "runs": bad}] if bad else []
        ends = [(30 + number * (HALF_HOUR - 60) / len(good), run_id) for number, run_id in enumerate(good)]
        story = Story(self.air.url, self.air.token, str(self.clock), watched, ends, list(events))
        done = subprocess.run(
            [sys.executable, "-m", "tests.story.fleet.follower"],
            input=json.dumps(asdict(story)) + "\n",
            cwd=TREE,
            capture_output=True,
            text=True,
            timeout=1000,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout.splitlines()[-1])
        self.told = {int(run_id): told for run_id, told in found["told"].items()}
        self.began, self.renewals = found["began"], found["renewals"]
        self.troubles = sum(found["troubles"].values())

    def late(self) -> list[float]:
        """Return how many seconds after its end each run's end was told."""
        ended = {run["run_id"]: run["end_time"] / 1000 for run in self.air.runs()}
        return [told["at"] - ended[run_id] for run_id, told in self.told.items()]

    def check(self, longest: float = PROMPT, *, missing: int = 0, quiet: bool = True) -> None:
        """Hold that every run's own end was told, and in time.

        :param longest: seconds by which an end may be noticed late.
        :param missing: how many runs are not judged, for nobody could see them.
        :param quiet: whether there is no time in which nothing can be noticed.
        """
        truth = {run["run_id"]: run for run in self.air.runs()}
        judged = {run_id: told for run_id, told in self.told.items() if told["word"] != "denied"}
        assert len(judged) == len(self.runs) - missing
        wrong = {
            run_id: told["word"]
            for run_id, told in judged.items()
            if told["word"] != truth[run_id]["state"].get("result_state")
        }
        assert not wrong
        late = {}
        for run_id, told in judged.items():
            ended = truth[run_id]["end_time"] / 1000
            in_trouble = not quiet and BEGIN - PROMPT <= ended - self.began <= END
            limit = self.began + END + AFTERWARDS if in_trouble else ended + longest
            if told["at"] > limit:
                late[run_id] = (ended - self.began, told["at"] - ended)
        assert not late, late


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Five hundred runs, a third of which waits and then fails."""
    clock = tmp_path / "clock"
    with LocalAirRuntime(tmp_path / "air", clock=SharedClock(clock)) as air:
        air.on("good").hangs()
        air.on("bad").waits().fails()
        fleet = Fleet(air, clock)
        fleet.submit("bad", RUNS // 3)
        fleet.submit("good", RUNS - RUNS // 3)
        air.clear_requests()
        yield fleet


def test_nothing_goes_wrong(fleet: Fleet) -> None:
    """On a good day an end is noticed within the interval, and mostly within a fraction of it."""
    fleet.follow()
    fleet.check()
    assert sorted(fleet.late())[RUNS * 9 // 10] <= 10.0
    assert Counter(told["word"] for told in fleet.told.values()) == {"SUCCESS": 334, "FAILED": 166}
    assert not fleet.troubles


def test_ten_minutes_of_429(fleet: Fleet) -> None:
    """A workspace that refuses everything for minutes gets few requests, and loses nothing."""
    storm = {"times": -1, "status": 429, "headers": {"Retry-After": "2"}}
    fleet.follow((BEGIN, "add_fault", ["/api/*"], storm), (END, "clear_faults", [], {}))
    fleet.check(quiet=False)


def test_ten_minutes_of_outage(fleet: Fleet) -> None:
    """That nothing answers for ten minutes is no outcome for anybody."""
    outage = {"times": -1, "then": "reset"}
    fleet.follow((BEGIN, "add_fault", ["/api/*"], outage), (END, "clear_faults", [], {}))
    fleet.check(quiet=False)


def test_lists_that_are_switched_off_midway(fleet: Fleet) -> None:
    """Without the index there is the Jobs listing; without either, every run is asked for itself at its interval."""
    fleet.follow((BEGIN, "add_fault", [INDEX], OFF), (END, "add_fault", [LISTING], OFF))
    fleet.check(longest=45.0)


def test_a_list_that_lies(fleet: Fleet) -> None:
    """An index that keeps the dead and leaves out the living costs time, and makes no run wrong."""
    rows = [{"job_run_id": str(run_id), "submit_time": "2026-01-01T00:00:00Z"} for run_id in fleet.runs[50:]]
    lie = {"times": -1, "status": 200, "body": json.dumps({"training_workflows": rows})}
    fleet.follow((BEGIN, "add_fault", [INDEX], lie))
    fleet.check(longest=CONFIRMED + PROMPT)


def test_a_token_that_is_replaced(fleet: Fleet) -> None:
    """A new token is read once for all, and nobody hears of it."""
    fleet.follow((BEGIN, "expire_tokens", [], {}), (BEGIN, "issue_token", [7200], {}))
    fleet.check(longest=PROMPT + 5.0)
    # The connection is read again every few minutes anyway.
    assert 1 <= fleet.renewals <= HALF_HOUR / RENEW_AFTER + 2
    assert not fleet.troubles


def test_a_wrong_token_beside_a_good_one(fleet: Fleet) -> None:
    """Who has a wrong token is told so in five minutes; the others notice nothing."""
    fleet.follow(wrong=200)
    fleet.check(missing=200)
    denied = [told["at"] - fleet.began for told in fleet.told.values() if told["word"] == "denied"]
    assert len(denied) == 200
    assert 300 <= min(denied) <= max(denied) <= 400
