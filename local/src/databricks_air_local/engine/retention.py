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
"""What becomes of runs that ended long ago."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.engine.streams import Streams
    from databricks_air_local.state.files import Files
    from databricks_air_local.state.mlflow import Mlflow
    from databricks_air_local.state.runs import Run, Runs

__all__ = ["Retention"]


class Retention:
    """Removes runs that ended: logs, working directories, metrics and artifacts; their tokens stay taken.

    :param directory: where the runs' own files lie.
    :param keep: how many of those that ended stay, the newest; 0 for all.
    """

    def __init__(
        self, directory: Path, runs: Runs, mlflow: Mlflow, files: Files, streams: Streams, keep: int
    ) -> None:
        self._directory = directory
        self._runs = runs
        self._mlflow = mlflow
        self._files = files
        self._streams = streams
        self._keep = keep

    def sweep(self) -> None:
        """Remove what is more than is kept."""
        if self._keep:
            for run in [run for run in self._runs.newest_first() if not run.active][self._keep :]:
                self._remove(run)

    def _remove(self, run: Run) -> None:
        run.deleted = True  # first: who asks meanwhile, also after a death of the server, is told so
        self._runs.save(run)
        for attempt in run.attempts:
            if attempt.mlflow_run_id:
                self._mlflow.forget(attempt.mlflow_run_id)
                if self._files.artifacts.find(f"/{attempt.mlflow_run_id}") is not None:
                    self._files.artifacts.delete(f"/{attempt.mlflow_run_id}")
        self._streams.forget(run.run_id)
        shutil.rmtree(self._directory / str(run.run_id), ignore_errors=True)
