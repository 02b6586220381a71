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
"""A code directory, or a commit of it, as an archive that is known by its content before it is packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow.providers.databricks_air.run.code.archive import Sink, TarStream, gzipped
from airflow.providers.databricks_air.run.code.commit import commit_code, commit_key
from airflow.providers.databricks_air.run.code.git import GitDirectory
from airflow.providers.databricks_air.run.code.plain import is_in_repository
from airflow.providers.databricks_air.run.code.working_tree import tree_contents, tree_key
from airflow.providers.databricks_air.run.config.parts.code_source import resolve_root
from airflow.providers.databricks_air.run.errors import SnapshotError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import CodeSource

__all__ = ["Snapshot", "commit_key", "take_snapshot", "tree_key"]


@dataclass(frozen=True)
class Snapshot:
    """Code that is ready to be packed.

    :param dirname: the directory that holds everything in the archive, and on the node.
    :param key: 64 hex characters that stand for the content.
    :param origin: where the code comes from, for people: ``working tree`` or ``commit <id>``.
    :param pack: writes the entries of the archive.
    :param commit: the commit that is packed, or checked out beside changes; empty outside of a repository.
    """

    dirname: str
    key: str
    origin: str
    pack: Callable[[TarStream], None] = field(repr=False, compare=False)
    commit: str = ""

    @property
    def file_name(self) -> str:
        """The name of the archive, as the ``databricks air`` command names it."""
        return f"{self.dirname}_{self.key[:16]}.tar.gz"

    def write_tar(self, sink: Sink) -> None:
        """Write the uncompressed archive: the same bytes for the same content, anywhere and at any time.

        :param sink: anything with ``write``.
        :raises SnapshotError: naming the file, when one changed, vanished or cannot be read.
        """
        stream = TarStream(sink)
        self.pack(stream)
        stream.close()

    def write_archive(self, file: IO[bytes], check: Callable[[], None] = lambda: None) -> None:
        """Write the compressed archive to *file*, which stays open.

        :param file: a file that can be written.
        :param check: called now and then; what it raises ends the work.
        :raises SnapshotError: see :meth:`write_tar`; *file* then holds no valid archive.
        """
        with gzipped(file, check) as sink:
            self.write_tar(sink)


def take_snapshot(code_source: CodeSource, base_dir: Path) -> Snapshot:
    """Look at the code and return what would be packed.

    Without ``git`` that is the working tree: tracked files as they are now, and untracked ones that git does
    not ignore; the same rules hold for a directory that is no repository. With ``git`` it is one commit.

    :param code_source: the ``code_source`` of a run configuration.
    :param base_dir: the directory that a relative ``root_path`` starts from.
    :raises SnapshotError: when there is nothing to pack, or something that cannot be packed.
    """
    root = resolve_root(code_source.root_path, base_dir)
    dirname = _checked_name(Path(os.path.abspath(root)).name)
    include = list(code_source.include_paths or ())
    if code_source.git is None:
        head = GitDirectory(root).commit("HEAD") if is_in_repository(root) else None
        return Snapshot(dirname, *tree_contents(root, dirname, include), commit=head or "")
    contents = commit_code(GitDirectory(root), code_source.git, dirname, include)
    return Snapshot(dirname, *contents, commit=contents.origin.rpartition(" ")[2])


def _checked_name(dirname: str) -> str:
    if not dirname or not dirname.isprintable():
        raise SnapshotError(
            f"code_source.root_path: a directory called {dirname!r} cannot be the node's code directory. "
            "Choose a directory whose name is plain text"
        )
    return dirname
