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
"""The log of an attempt as files on a Volume, for experiments that keep their artifacts on one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from databricks_air_local.api.artifacts import chunk_name, log_directory
from databricks_air_local.api.submission import node_count
from databricks_air_local.http.wire import Refusal
from databricks_air_local.state.mlflow import on_volume

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from databricks_air_local.engine.streams import Stream
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.workspace import Workspace

__all__ = ["publish", "published"]

logger = logging.getLogger(__name__)

_EVERY = 2.0


@asynccontextmanager
async def published(ws: Workspace, run: Run, attempt: Attempt) -> AsyncIterator[None]:
    """Write the chunks of an attempt as they grow, every two seconds, while the block runs."""
    task = asyncio.create_task(_keep_publishing(ws, run, attempt)) if _volume(ws, attempt) else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


async def _keep_publishing(ws: Workspace, run: Run, attempt: Attempt) -> None:
    while True:
        await asyncio.sleep(_EVERY)
        publish(ws, run, attempt)


def publish(ws: Workspace, run: Run, attempt: Attempt) -> None:
    """Write what is new in the log of an attempt to its Volume, if it has one."""
    root = _volume(ws, attempt)
    try:
        for node in range(node_count(run.air) if root else 0):
            stream = ws.streams.get(run.run_id, attempt.number, node)
            _write(ws, f"{root}/{log_directory(ws, attempt, node)}", stream)
    except Refusal as refusal:  # a path that no Volume has, or something else is there: the run goes on
        logger.warning("run %s: its log cannot be kept at %s: %s", run.run_id, root, refusal.message)


def _write(ws: Workspace, directory: str, stream: Stream) -> None:
    for index, size in enumerate(stream.chunk_sizes()):
        path = f"{directory}/{chunk_name(index)}"
        entry = ws.volumes.find(path)
        there = entry.size if entry is not None else 0
        if there < size:
            ws.volumes.mkdirs(directory)
            ws.volumes.append(path, stream.chunk(index)[there:])


def _volume(ws: Workspace, attempt: Attempt) -> str:
    return on_volume(ws.mlflow.run(attempt.mlflow_run_id)["info"]["artifact_uri"])
