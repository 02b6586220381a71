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
"""What it costs to print the log of a run from a triggerer."""

from __future__ import annotations

import pytest

from benchmarks.logs import LIMIT_CPU, LIMIT_HOLD, LIMIT_MEMORY, measure


@pytest.mark.long
def test_a_long_log_is_cheap_and_lets_the_other_triggers_run() -> None:
    """200,000 lines cost at most 15 µs of CPU each and 50 MiB, and hold the event loop 50 ms at most."""
    cost = measure(200_000)

    assert cost.cpu <= LIMIT_CPU
    assert cost.turn <= LIMIT_HOLD
    assert cost.memory <= LIMIT_MEMORY
