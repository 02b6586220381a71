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
"""What the chaos runner calls wrong: a table that cannot look away."""

from __future__ import annotations

import pytest

from tests.story.chaos.causes import NO_CHANCE, Gap, Outcome
from tests.story.chaos.judge import Observed, judge
from tests.story.chaos.records import cells, upper_bound

pytestmark = pytest.mark.plain

FOLLOWED = Outcome("followed", tries=2)
REPLACED = Outcome("replaced", runs=2, ended="older", tries=2)
CLEAN = Observed(runs=1, alive=1, task="success", tries=2, results=1)


def test_what_the_row_says_is_clean() -> None:
    """One run, followed by the second try, with its result."""
    assert judge(CLEAN, FOLLOWED).is_clean


@pytest.mark.parametrize(
    ("observed", "column"),
    [
        (Observed(runs=2, alive=2, unfollowed=1, left=1, task="success", tries=2, results=1), "duplicates"),
        (Observed(runs=2, alive=1, task="success", tries=2, results=1), "duplicates"),
        (Observed(runs=1, alive=1, unfollowed=1, task="success", tries=2, results=1), "orphans"),
        (Observed(runs=1, alive=1, left=1, task="success", tries=2, results=1), "orphans"),
        (Observed(runs=1, alive=1, task="success", tries=3, results=1), "extra_tries"),
        (Observed(runs=1, alive=1, task="failed", tries=2, results=0), "wrong"),
        (Observed(runs=1, alive=1, task="success", tries=2, results=0), "wrong"),
        (Observed(runs=1, alive=1, task="success", tries=2, results=1, lost=1), "wrong"),
        (Observed(runs=1, alive=1, task="success", tries=2, results=1, late=500.0), "wrong"),
        (Observed(runs=1, alive=1, task="success", tries=2, results=1, cancels=1), "wrong"),
        (Observed(runs=1, alive=1, task="success", tries=2, results=1, error="it hung"), "wrong"),
        (Observed(runs=0, task="success", tries=2, results=1), "wrong"),
    ],
)
def test_everything_that_is_promised_is_judged(observed: Observed, column: str) -> None:
    """Each promise has a column that fills when it is broken."""
    assert getattr(judge(observed, FOLLOWED), column)


def test_a_fresh_run_beside_an_old_one_is_a_duplicate_and_an_orphan() -> None:
    """After a clear two runs were made, as the row says; that both live is what it does not say."""
    seen = Observed(runs=2, alive=2, unfollowed=1, left=1, task="success", tries=2, results=1)
    verdict = judge(seen, REPLACED)
    assert (verdict.duplicates, verdict.orphans) == (1, 1)


def test_a_gap_is_one_run_and_never_a_duplicate() -> None:
    """Where nobody has a chance, one run may be left; a second one may not."""
    gap = Outcome("left", task="failed", result=False, gap=Gap(NO_CHANCE, "orphans"))
    one = judge(Observed(runs=1, alive=1, unfollowed=1, left=1, task="failed", tries=1), gap)
    assert (one.gap, one.orphans, one.duplicates, one.is_clean) == (1, 0, 0, True)
    two = judge(Observed(runs=2, alive=2, unfollowed=2, left=2, task="failed", tries=1), gap)
    assert (two.orphans, two.duplicates) == (1, 1)


def test_a_trial_that_was_thrown_away_is_shown_and_not_counted() -> None:
    """It stands in a column of its own."""
    record = {
        "stock": False, "cause": "eviction", "mode": "sync", "leg": "3.3", "executor": "LocalExecutor",
        "duplicates": 0, "orphans": 0, "extra_tries": 0, "wrong": [], "gap": 0, "repeated": 0, "late": 1.0,
        "thrown": "",
    }  # fmt: skip
    (cell,) = cells([record, {**record, "orphans": 1, "thrown": "the process was gone"}])
    assert (cell["trials"], cell["thrown"], cell["orphans"]) == (1, 1, 0)


def test_few_trials_exclude_little() -> None:
    """Ten trials without a failure leave room for a rate of a quarter; three hundred for one in a hundred."""
    assert upper_bound(0) == 1.0
    assert upper_bound(10) == pytest.approx(0.259, abs=0.001)
    assert upper_bound(300) == pytest.approx(0.00994, abs=0.0001)
