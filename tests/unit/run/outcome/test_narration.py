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
"""What is said of a run while it goes on."""

from __future__ import annotations

from airflow.providers.databricks_air.api.http.calls import TaskOutput
from airflow.providers.databricks_air.run.outcome.narration import Narrator
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run, RunState

RUNNING = RunState("RUNNING")
FAILED = RunState("TERMINATED", "FAILED")


def test_the_end_says_how_long_the_platform_ran_it() -> None:
    """The duration is the platform's, not the time until the next look."""
    narrator = Narrator()
    list(narrator.changes(Run(7, RUNNING, (Attempt(0, 70, RUNNING, 1_000),)), TaskOutput(), now=1.0))

    ended = Run(7, FAILED, (Attempt(0, 70, FAILED, 1_000, 3_000),))

    assert list(narrator.changes(ended, TaskOutput(), now=31.0)) == ["Run 7: RUNNING → FAILED after 2s"]


def test_attempts_are_counted_from_one() -> None:
    """The second attempt is called attempt 2, and the one before it attempt 1."""
    narrator = Narrator()
    attempts = (Attempt(0, 70, FAILED, 1_000, 3_000), Attempt(1, 71, RUNNING, 4_000))

    first = next(iter(narrator.changes(Run(7, RUNNING, attempts, max_retries=3), TaskOutput(), now=1.0)))

    assert first == "Run 7: attempt 2 of 4 after attempt 1 ended as FAILED"
