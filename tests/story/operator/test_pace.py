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
"""How soon a task knows what its run knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime

TASK = """
AirRunOperator(task_id="train", deferrable={deferrable}, retries=0, config={{
    "experiment_name": "mistyped", "max_retries": 0, "command": "python trian.py",
    "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
}})
"""


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])
def test_a_mistake_shows_in_seconds(
    air: LocalAirRuntime, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    """A training that fails after 3 s is a failed task within 8 s, with the interval that nobody set."""
    air.on().fails(after=3.0, logs=["No such file: trian.py"])
    outcome = run_dag(TASK.format(deferrable=deferrable))
    over_after = time.time() - air.runs()[0]["start_time"] / 1000
    assert outcome.states == {"train": "failed"}
    assert over_after < 8.0
