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
"""The result of a run, made of what the service and the launch say."""

from __future__ import annotations

import pytest

from airflow.providers.databricks_air.run.outcome.result import run_result
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run, RunState

HOST = "https://example.cloud.databricks.com"
SUCCESS = RunState("TERMINATED", "SUCCESS")
RUN = Run(
    run_id=7,
    state=SUCCESS,
    attempts=(
        Attempt(0, 8, RunState("TERMINATED", "FAILED"), 10_000, 40_000, 20_000),
        Attempt(1, 9, SUCCESS, 50_000, 110_000, 40_000),
    ),
    start_time=1_000,
    end_time=111_000,
    accelerator_type="GPU_8xH100",
    num_accelerators=16,
    code_path="/Workspace/Users/me/.air/repo_snapshots/.internal/my_code_0123456789abcdef.tar.gz",
)


def test_times_add_up_over_all_attempts() -> None:
    """What did not run was waiting; accelerators are paid for while the command runs."""
    result = run_result(HOST, RUN)
    assert (result["queue_seconds"], result["run_seconds"], result["duration_seconds"]) == (50.0, 60.0, 60.0)
    assert result["accelerator_hours"] == pytest.approx(16 * 60 / 3600, abs=1e-4)
    assert (result["start"], result["end"]) == (
        "1970-01-01T00:00:01.000+00:00",
        "1970-01-01T00:01:51.000+00:00",
    )
    assert result["code_key"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("note", "commit"),
    [
        ({"code_commit": "abc", "bundle_version": "def"}, "abc"),
        ({"code_commit": "", "bundle_version": "def"}, "def"),
        ({}, None),
        (None, None),
    ],
)
def test_the_commit_is_that_of_the_code_or_of_the_bundle(
    note: dict[str, str] | None, commit: str | None
) -> None:
    """A checkout without a repository has the version of the bundle that it is of."""
    assert run_result(HOST, RUN, note=note)["code_commit"] == commit


def test_what_is_not_over_has_no_lengths() -> None:
    """Of a run that has not ended, only what is known is said."""
    result = run_result(HOST, Run(run_id=7, state=RunState("RUNNING"), start_time=1_000))
    unknown = ("end", "duration_seconds", "queue_seconds", "run_seconds", "accelerator_hours", "code_key")
    assert {key: result[key] for key in unknown} == dict.fromkeys(unknown)
