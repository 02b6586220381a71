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
"""A clear begins a new life and a retry does not, as far as Airflow shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow.providers.databricks_air.lifecycle.owner.identity import Signs, cleared_since
from airflow.providers.databricks_air.lifecycle.owner.record import Record

FIRST = Signs(try_number=1, max_tries=2, retries=2, clear_number=0)
counts = st.integers(0, 20)


@pytest.mark.parametrize(
    ("now", "alone", "cleared"),
    [
        (Signs(2, 2, 2, 0), False, False),  # a retry
        (Signs(2, 2, 1, 0), False, False),  # a retry, after the Dag's retries went from 2 to 1
        (Signs(2, 3, 2, 1), False, True),  # a clear after the end, or while deferred
        (Signs(2, 2, 1, 1), False, True),  # the same, after the Dag's retries went from 2 to 1
        (Signs(2, 3, 2, 0), False, True),  # a clear that leaves the Dag run as it is
        (Signs(2, 2, 2, 1), True, True),  # a clear of the only task that has begun, while it ran
        (Signs(2, 2, 2, 1), False, None),  # the same beside others, or a clear of another and a loss
        (Signs(2, 2, 2, 1), None, None),  # no answer
        (Signs(2, 2, 2, None), False, False),  # nothing counts the clears
    ],
)
def test_what_a_clear_changes(now: Signs, alone: bool | None, cleared: bool | None) -> None:
    """Each way to a second try is told apart, or said to be unclear."""
    verdict, why = cleared_since(FIRST, now, lambda: alone)
    assert verdict is cleared
    assert why


@given(tries=counts, retries=counts, clears=counts, later=st.integers(1, 20))
def test_retries_never_look_like_a_clear(tries: int, retries: int, clears: int, later: int) -> None:
    """Whatever the Dag's retries become, a try that follows without a clear is of the same life."""
    then = Signs(tries + 1, tries + retries, retries, clears)
    now = replace(then, try_number=then.try_number + later, retries=later)
    assert cleared_since(then, now, lambda: True)[0] is False


@given(tries=counts, before=counts, after=counts, clears=counts)
def test_a_clear_of_a_task_that_does_not_run_is_seen(
    tries: int, before: int, after: int, clears: int
) -> None:
    """Airflow sets ``max_tries`` to tries plus retries then; that it is the old number by chance hides nothing."""
    last = tries + 1
    then = Signs(last, tries + before, before, clears)
    now = Signs(last + 1, last + after, after, clears + 1)
    assert cleared_since(then, now, lambda: False)[0] is True


def test_a_record_of_an_older_release_is_read() -> None:
    """Three fields were kept once; the life was ``max_tries`` then."""
    record = Record.parse({"run_id": 7, "life": "2", "generation": 1})
    assert (record.run_id, record.signs.max_tries, record.signs.clear_number) == (7, 2, None)
    assert cleared_since(record.signs, Signs(2, 2, 2, 5), lambda: True)[0] is False
    assert cleared_since(record.signs, Signs(2, 4, 2, 5), lambda: False)[0] is True


def test_a_record_of_a_newer_release_is_read() -> None:
    """Fields that this release does not know are left out."""
    assert Record.parse({"run_id": None, "life": "2/1/0", "generation": 0, "news": 1}).run_id is None


@pytest.mark.parametrize("value", [[], "text", {"run_id": 1}, {"run_id": "x", "life": "1", "generation": 0}])
def test_anything_else_is_no_record(value: object) -> None:
    """What somebody else has stored under the name is refused."""
    with pytest.raises(ValueError, match=r"."):
        Record.parse(value)  # type: ignore[arg-type]
