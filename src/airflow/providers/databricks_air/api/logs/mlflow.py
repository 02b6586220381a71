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
"""Reads the log of one node and attempt from the MLflow run's artifacts, where the endpoint cannot help.

The platform stores the log there in pieces of a few megabytes:
``logs/node_<n>/logs-<i>.chunk.txt``, or ``logs/attempt_<a>/node_<n>/logs-<i>.chunk.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, ClassVar

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError
from airflow.providers.databricks_air.api.logs.calls import (
    Entry,
    Listing,
    MlflowRun,
    SignedAddress,
    list_artifacts,
    list_volume,
    mlflow_run,
    read_signed,
    read_volume,
    sign_artifact,
)
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.logs.text import safe_lines

__all__ = ["ChunkSource"]

PART = 512 * 1024
LINES_AT_ONCE = 200
TIMEOUT = 60.0
_CHUNK = re.compile(r"logs-(\d+)\.chunk\.txt")
_OLD_LAYOUT = re.compile(r"node_\d+")


class ChunkSource:
    """The stored pieces of the log of one node and attempt.

    :param node: rank of the node.
    :param attempt: number of the attempt.
    :param task_run_id: id of the attempt's task run, which knows the MLflow run.
    :param skip: how many lines were printed from elsewhere before.
    """

    kind: ClassVar[str] = "chunks"

    def __init__(self, node: int, attempt: int, task_run_id: int, skip: int = 0) -> None:
        self.node = node
        self.attempt = attempt
        self.printed = 0
        self.is_behind = False
        self.task_run_id = task_run_id
        self.label = ""
        self._skip = skip
        self._chunk = 0
        self._offset = 0
        self._mlflow_run_id = ""
        self._root = ""
        self._directory = ""
        self._waiting = b""
        self._has_next = False
        self._is_cut = False

    def exists(self) -> Generator[Call[Any], Any, bool]:
        """Return whether there is anything yet.

        :raises ApiError: when that cannot be told.
        """
        return bool((yield from self._find()) and (yield from self._chunks()))

    def read(self, *, ended: bool = False) -> Generator[Call[Any], Any, list[LogLine]]:
        """Return the next new lines, some hundreds at most.

        :param ended: whether the attempt is over, so that a last line without a line feed is complete.
        :raises ApiError: when something cannot be read.
        """
        self.is_behind = False
        if self._waiting:
            return self._lines(self._waiting, ended=ended)
        if not (yield from self._find()) and not (ended and self._mlflow_run_id):
            return []
        chunks = yield from self._chunks()
        if not chunks and not self._offset:
            chunks = {0: None}
        last = max(chunks, default=self._chunk)
        size = chunks.get(self._chunk)
        has_grown = size is None or size > self._offset
        data = (yield from self._part(self._chunk)) if has_grown else b""
        self._has_next, self._is_cut = self._chunk < last, len(data) >= PART
        return self._lines(data, ended=ended)

    def tail(self) -> Generator[Call[Any], Any, list[LogLine]]:
        """Return the last lines, some thousands at most.

        :raises ApiError: when something cannot be read.
        """
        if not (yield from self._find()):
            return []
        chunks = yield from self._chunks()
        self._chunk = max(chunks, default=0)
        self._offset = max(0, (chunks.get(self._chunk) or 0) - PART)
        data = yield from self._part(self._chunk)
        lines = self._printed(data)
        # The part may begin within a line.
        return lines[1:] if self._offset else lines

    def _lines(self, data: bytes, *, ended: bool) -> list[LogLine]:
        """Cut bytes into lines and move the position behind them.

        :param data: what follows the position, as far as it was read.
        :param ended: whether nothing will be added any more.
        """
        end = _behind_line(data, LINES_AT_ONCE)
        self._waiting = data[end:] if end else b""
        if not end:
            is_complete = (ended or self._has_next) and not self._is_cut
            # A line that is longer than a part is printed in parts.
            end = len(data) if is_complete else data.rfind(b"\n") + 1 or len(data) * self._is_cut
        self._offset += end
        self.is_behind = bool(self._waiting) or self._is_cut or self._has_next
        if self._has_next and not self._is_cut and not self._waiting:
            self._chunk, self._offset = self._chunk + 1, 0
        return self._printed(data[:end])

    def _printed(self, piece: bytes) -> list[LogLine]:
        bodies = piece.decode("utf-8", "replace").split("\n")
        if bodies[-1] == "":
            bodies.pop()
        skipped = min(self._skip, len(bodies))
        self._skip -= skipped
        self.printed += len(bodies) - skipped
        return [
            LogLine(self.node, self.attempt, self.label + text)
            for body in bodies[skipped:]
            for text in safe_lines(body)
        ]

    def _find(self) -> Generator[Call[Any], Any, bool]:
        """Find the MLflow run, its artifact root and the layout; False while there is none."""
        if not self._mlflow_run_id:
            try:
                output: TaskOutput = yield get_output(self.task_run_id).once(timeout=TIMEOUT)
            except NotFoundError:
                return False
            self._mlflow_run_id = output.mlflow_run_id
        if not self._mlflow_run_id:
            return False
        if not self._root:
            run: MlflowRun = yield mlflow_run(self._mlflow_run_id).once(timeout=TIMEOUT)
            self._root = run.artifact_uri or "unknown"
        if not self._directory:
            entries = yield from self._list("logs")
            names = {entry.name for entry in entries}
            if f"attempt_{self.attempt}" in names:
                self._directory = f"logs/attempt_{self.attempt}/node_{self.node}"
            elif any(_OLD_LAYOUT.fullmatch(name) for name in names):
                self._directory = f"logs/node_{self.node}"
        return bool(self._directory)

    def _chunks(self) -> Generator[Call[Any], Any, dict[int, int | None]]:
        entries = yield from self._list(self._place)
        found = ((_CHUNK.fullmatch(entry.name), entry) for entry in entries if not entry.is_dir)
        return {int(match.group(1)): entry.size for match, entry in found if match}

    def _list(self, path: str) -> Generator[Call[Any], Any, list[Entry]]:
        entries: list[Entry] = []
        token = ""
        while True:
            volume = self._volume()
            call = (
                list_volume(f"{volume}/{path}", token)
                if volume
                else list_artifacts(self._mlflow_run_id, path, token)
            )
            try:
                listing: Listing = yield call.once(timeout=TIMEOUT)
            except NotFoundError:
                return entries
            entries += listing.entries
            if listing.next_token in {"", token}:
                return entries
            token = listing.next_token

    def _part(self, chunk: int) -> Generator[Call[Any], Any, bytes]:
        path = f"{self._place}/logs-{chunk}.chunk.txt"
        volume = self._volume()
        try:
            if volume:
                data: bytes = yield read_volume(f"{volume}/{path}", self._offset, PART).once(timeout=TIMEOUT)
                return data
            address: SignedAddress = yield sign_artifact(self._mlflow_run_id, path).once(timeout=TIMEOUT)
            data = yield read_signed(address, path, self._offset, PART).once(timeout=TIMEOUT)
        except NotFoundError:
            # Signed addresses are given for what does not exist yet.
            return b""
        except ApiError as error:
            if error.status == 416:
                return b""
            raise
        return data

    @property
    def _place(self) -> str:
        """The directory of the node; a listing may lag behind, so the older layout is tried without one."""
        return self._directory or f"logs/node_{self.node}"

    def _volume(self) -> str:
        """The path below ``/Volumes`` where the artifacts are, empty for the workspace's own store."""
        scheme, _, path = self._root.partition(":")
        return path.rstrip("/") if scheme == "dbfs" and path.startswith("/Volumes/") else ""

    def to_json(self) -> list[Any]:
        """Return the position as JSON values."""
        return [self._chunk, self._offset, self._skip, self.printed]

    def go_on(self, position: list[Any]) -> None:
        """Go on at a position made by ``to_json``.

        :raises ValueError: when it is not one.
        """
        self._chunk, self._offset, self._skip, self.printed = (int(number) for number in position)


def _behind_line(data: bytes, count: int) -> int:
    """Return the position behind that many lines; 0 when there are not more."""
    end = 0
    for _ in range(count):
        end = data.find(b"\n", end) + 1
        if not end:
            return 0
    return end if end < len(data) else 0
