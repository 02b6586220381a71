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
"""The clock of runs."""

from __future__ import annotations

import asyncio

import pytest

from databricks_air_local.state.clock import RealClock, VirtualClock


async def test_a_virtual_clock_wakes_in_order() -> None:
    """Sleepers wake when the time was moved past them, and not before."""
    clock, woken = VirtualClock(start=0), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (20, 10)]
    await asyncio.sleep(0)
    clock.advance(10)
    await asyncio.sleep(0.01)

    assert woken == [10]
    clock.advance(10)
    await asyncio.gather(*tasks)
    assert woken == [10, 20]
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="clock is real"):
        RealClock().advance(1)
