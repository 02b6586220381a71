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
"""The three namespaces of files: the workspace, the Volumes, and the artifacts of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databricks_air_local.state.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.store import Store

__all__ = ["Files"]


class Files:
    """The trees, and which of them a path of a client belongs to.

    :param user: whose home is there from the beginning.
    """

    def __init__(self, store: Store, clock: Clock, user: str) -> None:
        self.workspace = Tree(store, clock, "workspace", alias="Workspace")
        self.volumes = Tree(store, clock, "volumes")
        self.artifacts = Tree(store, clock, "artifacts")
        store.sweep_blobs(self.workspace.blobs() | self.volumes.blobs() | self.artifacts.blobs())
        for path in (f"/Users/{user}", "/Shared"):
            self.workspace.mkdirs(path)
        self.volumes.mkdirs("/Volumes")

    def find(self, path: str) -> Path | None:
        """Return the content file of a workspace or volume path; nothing when it is no file."""
        tree = self.volumes if path.startswith("/Volumes/") else self.workspace
        entry = tree.find(path)
        return None if entry is None or entry.blob is None else tree.blob(entry)

    def readable(self, path: str) -> bool:
        """Return whether a path names a file."""
        return self.find(path) is not None
