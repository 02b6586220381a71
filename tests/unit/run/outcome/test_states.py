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
"""How an answer of ``runs/get`` is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow.providers.databricks_air.run.outcome.states import (
    KNOWN_LIFE_CYCLES,
    TERMINAL_LIFE_CYCLES,
    TERMINAL_RESULTS,
    parse_run,
)


def body(life_cycle: str = "RUNNING", result: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a run as the service words it."""
    state = {"life_cycle_state": life_cycle, **({"result_state": result} if result else {})}
    return {"run_id": 7, "state": state, **more}


def task(number: int, life_cycle: str, result: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one attempt as the service words it."""
    return body(life_cycle, result) | {"run_id": 70 + number, "attempt_number": number, **more}


@pytest.mark.parametrize("word", sorted(TERMINAL_LIFE_CYCLES))
def test_a_terminal_life_cycle_ends_a_run(word: str) -> None:
    """A terminal life-cycle state suffices to call a run finished."""
    assert parse_run(body(word)).is_terminal


@pytest.mark.parametrize("word", sorted(TERMINAL_RESULTS))
def test_a_result_ends_a_run(word: str) -> None:
    """A result suffices to call a run finished, whatever the life cycle says."""
    assert parse_run(body("RUNNING", word)).is_terminal


@pytest.mark.parametrize("word", sorted(KNOWN_LIFE_CYCLES))
@pytest.mark.parametrize("result", sorted(TERMINAL_RESULTS))
def test_success_only_by_name(word: str, result: str) -> None:
    """No combination but the result SUCCESS counts as success."""
    assert parse_run(body(word, result)).is_success == (result == "SUCCESS")


@given(st.text(), st.text())
def test_unknown_words_are_no_error(life_cycle: str, result: str) -> None:
    """A word that nobody has heard of is shown as it is and ends nothing."""
    run = parse_run(body(life_cycle, result))
    known = life_cycle in TERMINAL_LIFE_CYCLES or result in TERMINAL_RESULTS
    assert run.is_terminal == known
    assert run.phase == (result or life_cycle or "UNKNOWN")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
fields = ["state", "status", "tasks", "start_time", "end_time", "job_id", "run_page_url", "run_name"]


@given(st.fixed_dictionaries({"run_id": st.just(1)}, optional=dict.fromkeys(fields, json_values)))
def test_fields_of_the_wrong_type_are_no_error(answer: dict[str, Any]) -> None:
    """Whatever stands in the optional fields, there is a run to show."""
    run = parse_run(answer)
    assert run.phase
    assert isinstance(run.failure_reason, str)


def test_without_an_id_it_is_no_run() -> None:
    """An answer without a run id is refused, so that it counts as unreadable and not as a state."""
    with pytest.raises(ValueError, match="run_id"):
        parse_run({"state": {}})


def test_failed_run_as_the_service_rolls_it_up() -> None:
    """The reason is the attempt's own, not the generic one of the run."""
    run = parse_run(
        body(
            "INTERNAL_ERROR",
            "FAILED",
            tasks=[
                task(0, "TERMINATED", "FAILED", status={"termination_details": {"message": "exit code 3"}})
            ],
            status={
                "state": "TERMINATED",
                "termination_details": {"code": "RUN_EXECUTION_ERROR", "message": "generic"},
            },
        )
    )
    assert run.is_terminal
    assert not run.is_success
    assert run.failure_reason == "exit code 3"
    assert run.code == "RUN_EXECUTION_ERROR"


def test_a_run_between_two_attempts_waits() -> None:
    """While the latest attempt waits for its retry the run shows that, though it is called running."""
    run = parse_run(body("RUNNING", tasks=[task(0, "WAITING_FOR_RETRY"), task(1, "PENDING")]))
    assert run.is_waiting
    assert run.phase == "PENDING"
    assert run.latest is not None
    assert run.latest.number == 1


def test_attempts_come_in_their_order() -> None:
    """The latest attempt is the one with the highest number, wherever it stands in the answer."""
    run = parse_run(body(tasks=[task(2, "RUNNING"), task(0, "TERMINATED"), task(1, "TERMINATED")]))
    assert [attempt.number for attempt in run.attempts] == [0, 1, 2]


def test_the_words_that_end_a_run_are_these() -> None:
    """The words themselves, so that none can be taken out of the table unnoticed."""
    words = ["TERMINATED", "SKIPPED", "INTERNAL_ERROR"]
    assert [parse_run(body(word)).is_terminal for word in words] == [True, True, True]
    going_on = ["PENDING", "QUEUED", "BLOCKED", "WAITING_FOR_RETRY", "RUNNING", "TERMINATING"]
    assert not any(parse_run(body(word)).is_terminal for word in going_on)


def test_a_run_with_a_result_does_not_wait() -> None:
    """A result ends the wait for accelerators, whatever the life cycle still says."""
    assert parse_run(body("QUEUED")).state.is_waiting
    assert not parse_run(body("QUEUED", "CANCELED")).state.is_waiting


def test_numbers_may_come_as_text() -> None:
    """The service writes 64-bit numbers as JSON strings now and then."""
    assert parse_run(body(start_time="1700000000000", job_id="-12")).start_time == 1_700_000_000_000


def test_the_newer_form_of_the_state_suffices() -> None:
    """Where the old field is absent, ``status.state`` is the state."""
    run = parse_run({"run_id": 7, "status": {"state": "TERMINATED"}})
    assert (run.state.life_cycle, run.is_terminal) == ("TERMINATED", True)


@pytest.mark.parametrize(
    ("code", "word", "success"),
    [
        ("SUCCESS", "SUCCESS", True),
        ("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", False),
        ("USER_CANCELED", "CANCELED", False),
        ("CANCELED", "CANCELED", False),
        ("RUN_EXECUTION_ERROR", "FAILED", False),
        ("CLOUD_FAILURE", "FAILED", False),
        ("A_CODE_OF_TOMORROW", "FAILED", False),
        ("SKIPPED", "TERMINATED", False),
    ],
)
def test_an_answer_of_the_second_version_alone_has_a_result(code: str, word: str, success: bool) -> None:
    """Without the older fields the termination code names the result."""
    details = {"code": code, "type": "CLIENT_ERROR", "message": "so it is"}
    run = parse_run({"run_id": 7, "status": {"state": "TERMINATED", "termination_details": details}})

    assert run.is_terminal
    assert run.state.word == word
    assert run.is_success == success
    assert run.code_type == "CLIENT_ERROR"


def test_a_code_does_not_end_a_run_that_goes_on() -> None:
    """A termination code beside a state that is not terminal says nothing yet."""
    run = parse_run({"run_id": 7, "status": {"state": "RUNNING", "termination_details": {"code": "SUCCESS"}}})

    assert not run.is_terminal
    assert not run.is_success


def test_waiting_for_a_retry_is_waiting_in_both_versions() -> None:
    """The second version calls it WAITING."""
    run = parse_run({"run_id": 7, "status": {"state": "WAITING"}})

    assert run.is_waiting
    assert run.state.is_known


def test_the_platform_says_how_long_an_attempt_took() -> None:
    """The execution's own duration counts, then the time between start and end; before the end there is none."""
    timed = parse_run(
        body(
            tasks=[
                task(0, "TERMINATED", start_time=1000, end_time=9000, execution_duration=2000),
                task(1, "TERMINATED", start_time=1000, end_time=9000),
                task(2, "RUNNING", start_time=1000),
            ]
        )
    )

    assert [attempt.seconds for attempt in timed.attempts] == [2.0, 8.0, None]
    assert [attempt.ordinal for attempt in timed.attempts] == [1, 2, 3]


def test_a_wait_that_has_just_begun_did_not_begin_with_the_run() -> None:
    """An attempt that has no start yet waits since the one before ended, or nobody knows since when."""
    ended = task(0, "TERMINATED", start_time=1000, end_time=9000)
    run = parse_run(body(start_time=500, tasks=[ended, task(1, "PENDING")]))
    alone = parse_run(body(start_time=500, tasks=[task(1, "PENDING")]))

    assert run.waiting_since == 9000
    assert alone.waiting_since == 0
