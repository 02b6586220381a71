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
"""What is read of a run's document: times, accelerators, directories, reasons."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.api.runs.fields import RunFields, is_training, iso_time, whole_seconds


def document(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a run as the service shows it."""
    return {
        "run_id": 5,
        "run_name": "demo",
        "state": {"life_cycle_state": "RUNNING"},
        "tasks": list(tasks),
        **fields,
    }


def attempt(number: int, **fields: Any) -> dict[str, Any]:
    """Return one attempt of it."""
    return {
        "run_id": 10 + number,
        "attempt_number": number,
        "state": {"life_cycle_state": "RUNNING"},
        **fields,
    }


@pytest.mark.parametrize(("length", "seconds"), [(500, 0), (1500, 2), (2500, 2), (3500, 4), (2501, 3)])
def test_seconds_are_rounded_half_to_even(length: int, seconds: int) -> None:
    """A half second goes to the even number, as in the official clients."""
    assert whole_seconds(1_000, 1_000 + length, now=0) == seconds


def test_times_before_the_start_and_the_end() -> None:
    """There is no length before the start; a run that goes on has one that grows."""
    assert whole_seconds(0, 0, now=9_000) is None
    assert whole_seconds(1_000, 0, now=9_000) == 8
    assert iso_time(0) is None
    assert iso_time(1_000) == "1970-01-01T00:00:01+00:00"
    assert iso_time(1_250) == "1970-01-01T00:00:01.250000+00:00"


def test_times_are_those_of_the_latest_attempt() -> None:
    """A retried run has the times of its latest attempt; one that has not begun has those of the run."""
    first, second = attempt(0, start_time=2_000, end_time=3_000), attempt(1, start_time=5_000, end_time=9_000)
    assert RunFields.read(document(first, second, start_time=1_000, end_time=9_500)).times == (5_000, 9_000)
    assert RunFields.read(document(attempt(0), start_time=1_000)).times == (1_000, 0)


def test_launch_directory_of_containers() -> None:
    """The launch directory is found from a container's command, too."""
    path = "/Workspace/Users/a/.air/cli_launch/demo/demo_1/containers/trainer/command.sh"
    task = attempt(0, ai_runtime_task={"deployments": [{"containers": [{"command_path": path}]}]})
    assert RunFields.read(document(task)).launch_directory == "/Workspace/Users/a/.air/cli_launch/demo/demo_1"


def test_other_jobs_are_not_trainings() -> None:
    """A run whose tasks are of another kind is not listed."""
    assert not is_training(document(attempt(0, notebook_task={})))
    assert is_training(document(attempt(0, ai_runtime_task={})))
    assert is_training(document(attempt(0, for_each_task={"task": {"gen_ai_compute_task": {}}})))


@pytest.mark.parametrize(
    ("run_says", "reason"),
    [
        ({"status": {"termination_details": {"message": " out of luck "}}}, "out of luck"),
        (
            {
                "state": {
                    "life_cycle_state": "INTERNAL_ERROR",
                    "result_state": "FAILED",
                    "state_message": "why",
                }
            },
            "why",
        ),
        ({}, "of the first attempt"),
    ],
)
def test_termination_reason(run_says: dict[str, Any], reason: str) -> None:
    """The first that says something: the run's details, the run's message, the first attempt's message."""
    state = {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED"}
    first = attempt(0, state={**state, "state_message": "of the first attempt"})
    assert RunFields.read(document(first, **{"state": state, **run_says})).termination_reason == reason


def test_no_reason_without_a_failure() -> None:
    """A cancelled run has no termination reason."""
    state = {"life_cycle_state": "TERMINATED", "result_state": "CANCELED", "state_message": "by somebody"}
    assert RunFields.read(document(attempt(0), state=state)).termination_reason is None
