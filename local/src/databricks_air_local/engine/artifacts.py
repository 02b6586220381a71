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
"""The files of MLflow runs: the log of every node in chunks, and what a command logged."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from databricks_air_local.http.refusals import Refusal
from databricks_air_local.state.mlflow import on_volume

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from databricks_air_local.engine.streams import Stream, Streams
    from databricks_air_local.state.files import Files
    from databricks_air_local.state.mlflow import Mlflow
    from databricks_air_local.state.runs import Attempt, Run, Runs

__all__ = ["Artifacts"]

logger = logging.getLogger(__name__)

_EVERY = 2.0


class Artifacts:
    """Where the files of each MLflow run lie: in the workspace's own store, or on a Volume.

    The log of an attempt lies there too, in chunks: made as they are read in the own store, written every
    two seconds to a Volume.

    :param layout: ``new`` has the logs by attempt, ``old`` has not.
    """

    def __init__(self, runs: Runs, mlflow: Mlflow, streams: Streams, files: Files, layout: str) -> None:
        self._runs = runs
        self._mlflow = mlflow
        self._streams = streams
        self._files = files
        self._layout = layout

    def list(self, mlflow_run_id: str) -> Iterator[tuple[str, int]]:
        """Return the files of an MLflow run: paths relative to its root, and sizes."""
        volume = self._volume(mlflow_run_id)
        if volume:
            return self._files.volumes.files(volume)
        return self._own(mlflow_run_id)

    def read(self, mlflow_run_id: str, path: str) -> bytes | Path | None:
        """Return a file of an MLflow run, as bytes or where it lies; nothing when there is none.

        :param path: relative to the run's root.
        :raises Refusal: when it climbs.
        """
        volume = self._volume(mlflow_run_id)
        text = None if volume else self._chunk(mlflow_run_id, path)
        if text is not None:
            return text
        tree = self._files.volumes if volume else self._files.artifacts
        entry = tree.find(f"{volume or f'/{mlflow_run_id}'}/{path}")
        return None if entry is None or entry.blob is None else tree.blob(entry)

    def write(self, mlflow_run_id: str, path: str, content: Path) -> None:
        """Keep a file of an MLflow run.

        :raises Refusal: when its path climbs, or a directory is there.
        """
        tree = self._files.artifacts
        target = tree.canonical(f"/{mlflow_run_id}/{path}")
        tree.mkdirs(target.rpartition("/")[0] or "/")
        tree.write(target, content, overwrite=True)

    @asynccontextmanager
    async def published(self, run: Run, attempt: Attempt) -> AsyncIterator[None]:
        """Write the chunks of an attempt as they grow, every two seconds, while the block runs."""
        volume = self._volume(attempt.mlflow_run_id)
        task = asyncio.create_task(self._keep_publishing(run, attempt)) if volume else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    async def _keep_publishing(self, run: Run, attempt: Attempt) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self.publish(run, attempt)

    def publish(self, run: Run, attempt: Attempt) -> None:
        """Write what is new in the log of an attempt to its Volume, if it has one."""
        root = self._volume(attempt.mlflow_run_id)
        try:
            for directory, stream in self._logs(run, attempt) if root else ():
                self._write_chunks(f"{root}/{directory}", stream)
        except Refusal as refusal:  # a path that no Volume has, or something else is there: the run goes on
            logger.warning("run %s: its log cannot be kept at %s: %s", run.run_id, root, refusal.message)

    def _write_chunks(self, directory: str, stream: Stream) -> None:
        volumes = self._files.volumes
        for index, size in enumerate(stream.chunk_sizes()):
            path = f"{directory}/{_chunk_name(index)}"
            entry = volumes.find(path)
            there = entry.size if entry is not None else 0
            if there < size:
                volumes.mkdirs(directory)
                volumes.append(path, stream.chunk(index)[there:])

    def _own(self, mlflow_run_id: str) -> Iterator[tuple[str, int]]:
        for directory, stream in self._logs_of(mlflow_run_id):
            for index, size in enumerate(stream.chunk_sizes()):
                yield f"{directory}/{_chunk_name(index)}", size
        yield from self._files.artifacts.files(f"/{mlflow_run_id}")

    def _chunk(self, mlflow_run_id: str, path: str) -> bytes | None:
        parent, _, name = path.rpartition("/")
        for directory, stream in self._logs_of(mlflow_run_id):
            for index in range(len(stream.chunk_sizes()) if parent == directory else 0):
                if name == _chunk_name(index):
                    return stream.chunk(index)
        return None

    def _logs_of(self, mlflow_run_id: str) -> Iterator[tuple[str, Stream]]:
        owner = self._runs.of_mlflow(mlflow_run_id)
        return self._logs(*owner) if owner else iter(())

    def _logs(self, run: Run, attempt: Attempt) -> Iterator[tuple[str, Stream]]:
        """Return the directory and the stream of each node that printed something."""
        of_attempt = "" if self._layout == "old" else f"attempt_{attempt.number}/"
        for node in range(run.nodes):
            stream = self._streams.get(run.run_id, attempt.number, node)
            if len(stream):
                yield f"logs/{of_attempt}node_{node}", stream

    def _volume(self, mlflow_run_id: str) -> str:
        return on_volume(self._mlflow.run(mlflow_run_id)["info"]["artifact_uri"])


def _chunk_name(index: int) -> str:
    return f"logs-{index}.chunk.txt"
