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
"""The runs of a workspace that end, whoever has started them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError
from airflow.providers.databricks_air.api.http.together import together
from airflow.providers.databricks_air.api.runs.calls import get_document
from airflow.providers.databricks_air.api.runs.fields import RunFields
from airflow.providers.databricks_air.api.runs.listing import SCAN_LIMIT, live_runs, started_since
from airflow.providers.databricks_air.api.runs.owner import read_owner

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["LOOK_BACK", "FinishedRun", "finished_runs"]

log = logging.getLogger(__name__)

LOOK_BACK = 3600.0
"""Seconds before the first look: what ended in that time is told, too."""
# What the first look goes through: runs that had started so long before.
_LONGEST = 86400.0
# The clocks of the workspace and of this machine.
_APART = 120.0


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended.

    :param fields: what its document says.
    :param host: the workspace URL.
    :param output: what its latest attempt says beside its state.
    :param owner: the note of the Airflow task that asked for it; None for a run of nobody's task.
    """

    fields: RunFields
    host: str
    output: TaskOutput
    owner: Mapping[str, Any] | None

    @property
    def end(self) -> int:
        """Epoch milliseconds of its end."""
        return _end(self.fields)


@dataclass
class _Sight:
    """What the looks so far have seen: live runs, and the ends of those that were told."""

    alive: set[int] = field(default_factory=set)
    told: dict[int, int] = field(default_factory=dict)


async def finished_runs(
    client: AsyncClient,
    interval: float,
    renew: Callable[[], Awaitable[None]],
    *,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[FinishedRun]:
    """Yield every run of AI Runtime that ends, each once, and first those of the last hour; forever.

    A look costs one request for each 25 live runs and each 25 that have started since the last one, and three for
    each that has ended. A workspace that does not answer is asked again.

    :param client: the workspace.
    :param interval: seconds between two looks.
    :param renew: gives the client other credentials; called when the workspace has refused those that it has.
    :param now: returns epoch seconds.
    :param pause: waits.
    """
    sight = _Sight()
    horizon = now() - LOOK_BACK - _LONGEST
    while True:
        began = now()
        try:
            ended = await _look(client, sight, horizon, began - LOOK_BACK)
            found = await together([partial(_in_full, client, fields) for fields in ended])
        except ApiError as error:
            log.warning("What has ended cannot be read: %s", error)
            found = []
            if isinstance(error, AuthError):
                await renew()
        else:
            horizon = began - _APART
            sight.told = {
                number: end for number, end in sight.told.items() if end >= (began - LOOK_BACK) * 1000
            }
            sight.told.update({run.fields.run.run_id: run.end for run in found})
        for run in found:
            yield run
        await pause(interval)


async def _look(client: AsyncClient, sight: _Sight, horizon: float, since: float) -> list[RunFields]:
    """Return what has ended and was not told, in the order of the ends."""
    alive = {fields.run.run_id async for fields in live_runs(client, SCAN_LIMIT)}
    seen = {fields.run.run_id: fields async for fields in started_since(client, round(horizon * 1000))}
    for number in sight.alive - alive - seen.keys():
        try:
            seen[number] = RunFields.read(await client.perform(get_document(number)))
        except NotFoundError:
            continue
    ended = [
        fields
        for number, fields in seen.items()
        if fields.run.is_terminal and number not in sight.told and _end(fields) >= since * 1000
    ]
    # A run that is seen alive here and ended there is looked for again.
    sight.alive = alive | {number for number, fields in seen.items() if not fields.run.is_terminal}
    return sorted(ended, key=_end)


async def _in_full(client: AsyncClient, fields: RunFields) -> FinishedRun:
    owner = await read_owner(client, fields.launch_directory)
    output = TaskOutput()
    if fields.run.latest is not None:
        # The MLflow run is an addition.
        with contextlib.suppress(ApiError):
            output = await client.perform(get_output(fields.run.latest.run_id).once())
    return FinishedRun(fields, client.credentials.host, output, owner)


def _end(fields: RunFields) -> int:
    run = fields.run
    return run.end_time or (run.latest.end_time if run.latest else 0) or run.start_time
