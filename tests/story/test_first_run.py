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
"""A run through the operator, from the YAML file to the result, in both modes."""

from __future__ import annotations

import pytest

TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: |
"""
TASK = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3, deferrable=%s)"

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@both_modes
def test_success_returns_the_result(air, run_dag, deferrable):
    """A command that succeeds ends the task as success, with state, ids and page in its XCom."""
    outcome = run_dag(TASK % deferrable, train=TRAIN + "  echo loss=0.5")
    assert outcome.states == {"train": "success"}, outcome.text
    result = outcome.xcoms["train"]
    assert result["state"] == "SUCCESS"
    assert result["run_page_url"].startswith(air.url)
