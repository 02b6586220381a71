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
"""The published tables say what the tests demand, and what was counted at one commit of this history."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.story.chaos.acts import ACTS
from tests.story.chaos.causes import AUTHOR, LEGS, NO_CHANCE, Cause
from tests.story.chaos.disturbances import DISTURBANCES
from tests.story.chaos.publish import DOCS, RECORDS, keep, trials, what_happens
from tests.story.chaos.records import ROOT, unheard
from tests.story.chaos.rows import CAUSES, GROUPS

pytestmark = pytest.mark.plain


def test_the_documentation_is_made_from_the_rows() -> None:
    """`python -m tests.story.chaos.publish` has been typed since the rows last changed."""
    assert (DOCS / "what-happens.inc").read_text() == what_happens()


@pytest.mark.parametrize("row", CAUSES, ids=lambda row: row.key)
def test_every_row_is_whole(row: Cause) -> None:
    """A row is tried by something, stands in a group, and every cell of it says something."""
    assert (row.key in DISTURBANCES) if row.shared else (row.key in ACTS)
    assert row.group in GROUPS
    assert {mode for mode, _ in row.exceptions} <= set(row.modes)
    outcomes = [row.expected(mode, leg) for mode in row.modes for leg in LEGS]
    assert all(one.words for one in outcomes)
    assert {one.gap.kind for one in outcomes if one.gap} <= {AUTHOR, NO_CHANCE}


@pytest.fixture
def published() -> dict[str, Any]:
    """The records that the page was made from."""
    if not RECORDS.exists():
        pytest.skip("no table is published")
    found: dict[str, Any] = json.loads(RECORDS.read_text())
    return found


def test_the_table_is_made_from_the_records(published: dict[str, Any]) -> None:
    """The table holds what the records hold."""
    assert (DOCS / "trials.inc").read_text() == trials(published)


def test_the_records_are_of_one_commit_of_this_history(published: dict[str, Any]) -> None:
    """What was counted was counted with sources that today's have grown from."""
    assert {one["commit"] for one in published["passes"]} == {published["commit"]}
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so that there is no history to look in")
    found = subprocess.run(
        ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", published["commit"], "HEAD"],
        check=False,
        capture_output=True,
    )
    assert found.returncode == 0, f"{published['commit']} is not an ancestor: make the table again"


def test_the_records_are_of_todays_rows(published: dict[str, Any]) -> None:
    """No row was renamed or taken away since it was counted; a newer one stands among those not tried."""
    known = {row.key: {*row.modes} for row in CAUSES}
    assert {one["cause"] for one in published["cells"]} <= set(known)
    assert all(one["mode"] in known[one["cause"]] for one in published["cells"])


@pytest.mark.parametrize(
    ("error", "task", "duplicates", "orphans", "is_thrown"),
    [
        ("ReadTimeout: HTTPConnectionPool(host='127.0.0.1')", "running", 0, 0, True),
        ("ReadTimeout: HTTPConnectionPool(host='127.0.0.1')", "running", 0, 1, True),
        ("ReadTimeout: HTTPConnectionPool(host='127.0.0.1')", "failed", 0, 1, False),
        ("ReadTimeout: HTTPConnectionPool(host='127.0.0.1')", "running", 1, 0, False),
        ("TimeoutError: waited 150 s for the task to end", "running", 0, 0, False),
        ("", "failed", 0, 1, False),
    ],
)
def test_what_airflow_left_without_an_answer_is_thrown_away(
    error: str, task: str, duplicates: int, orphans: int, is_thrown: bool
) -> None:
    """A trial that could not be judged says nothing; a duplicate, or a run left by a task that is over, counts."""
    record = {"error": error, "task": task, "duplicates": duplicates, "orphans": orphans, "thrown": ""}
    assert bool(unheard(record)["thrown"]) is is_thrown


def test_records_of_two_commits_make_no_table() -> None:
    """Passes at two commits, or at one with changes that nobody committed, are refused."""
    one = {"commit": "a", "is_clean": True, "records": []}
    with pytest.raises(SystemExit, match="one clean commit"):
        keep([one, {**one, "commit": "b"}])
    with pytest.raises(SystemExit, match="one clean commit"):
        keep([{**one, "is_clean": False}])
