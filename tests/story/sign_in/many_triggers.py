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

"""A process that is a triggerer: follows runs with deferred triggers, and says how long its event loop was held.

Run as ``python many_triggers.py RUN_ID...``; the default connection is in the environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import airflow.triggers.base  # noqa: F401 - a triggerer has it for long

from airflow.providers.databricks_air.triggers.air import AirRunTrigger


async def main(run_ids: list[int]) -> None:
    """Follow the runs, and print the longest hold in seconds and how often each end was told."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            wall, own = time.monotonic(), time.process_time()
            await asyncio.sleep(0.005)
            # On a busy machine the kernel holds the process up: only what it did itself counts.
            longest = max(longest, min(time.monotonic() - wall, time.process_time() - own))

    async def follow(run_id: int) -> str:
        async for event in AirRunTrigger(run_id, polling_interval=1.0).run():
            return str(event.payload["why"])
        return ""

    ticker = asyncio.create_task(tick())
    ends = await asyncio.gather(*map(follow, run_ids))
    ticker.cancel()
    sys.stdout.write(json.dumps({"longest": longest, "ends": ends}) + "\n")


if __name__ == "__main__":
    asyncio.run(main([int(run_id) for run_id in sys.argv[1:]]))
