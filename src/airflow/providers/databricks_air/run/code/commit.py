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
"""One commit as code that is ready to be packed, whatever the working tree holds."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.run.code.archive import BLOCK, Contents, TarStream
from airflow.providers.databricks_air.run.code.directory import read_chunks
from airflow.providers.databricks_air.run.code.git import GitDirectory
from airflow.providers.databricks_air.run.code.include_paths import normalised
from airflow.providers.databricks_air.run.errors import SnapshotError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.parts.code_source import GitRef

__all__ = ["commit_code", "commit_key"]

_KEY_VERSION = "v1"
_MANY = 5


def commit_key(commit: str, include_paths: Iterable[str] = (), subtree: str = "") -> str:
    """Return the key of a commit, the same as that of the ``databricks air`` command.

    :param commit: the commit as the author wrote it: a short id has another key than the full one.
    :param include_paths: limits of the archive, in any order.
    :param subtree: path of the packed directory below the repository's root; empty for the root.
    """
    paths = "\n".join(sorted(path.strip() for path in include_paths))
    text = f"{commit}\n{paths}\n{_KEY_VERSION}" + (f"\n{subtree}" if subtree else "")
    return hashlib.sha256(text.encode()).hexdigest()


def commit_code(git: GitDirectory, ref: GitRef, dirname: str, include: Sequence[str]) -> Contents:
    """Return the contents of a commit, or of the local head of a branch.

    :param git: the directory.
    :param ref: which commit.
    :param dirname: the directory that holds everything in the archive.
    :param include: limits as the author wrote them.
    :raises SnapshotError: when there is no such commit, or nothing in it.
    """
    prefix = git.prefix
    if prefix is None:
        raise SnapshotError(
            f"code_source.git: {git.root} is in no git work tree. Remove code_source.git to pack it as it is"
        )
    limits = normalised(include)
    commit = _of_branch(git, ref.branch, limits) if ref.branch else _of_commit(git, ref.commit or "")
    subtree = os.fsdecode(prefix.rstrip(b"/"))
    tree = f"{commit}:{subtree}" if subtree else commit
    missing = git.missing(tree, limits) if limits else []
    if missing:
        raise SnapshotError(f"code_source.include_paths: commit {commit} does not have {', '.join(missing)}")
    key = commit_key(commit, include, subtree)
    if git.has_no_files(tree, limits):
        what = f"include_paths: {', '.join(include)}" if limits else f"root_path: {git.root}"
        raise SnapshotError(
            f"code_source.{what} holds no file in commit {commit}: it is empty there, or a submodule, which a "
            "commit only names. Remove code_source.git to pack what is checked out"
        )
    return Contents(key, f"commit {commit}", partial(_pack_commit, git, tree, limits, dirname))


def _of_commit(git: GitDirectory, written: str) -> str:
    """Return the commit as the author wrote it, whose text is in the key; the full id of a tag or name."""
    full = git.commit(written)
    if full is None:
        raise SnapshotError(
            f"code_source.git.commit: {written!r} is not a commit of {git.root}. Fetch it first"
        )
    # A tag or HEAD may move: the key of its text would find old code.
    return written if full.startswith(written.lower()) else full


def _of_branch(git: GitDirectory, branch: str, limits: Sequence[bytes]) -> str:
    full = git.commit(f"refs/heads/{branch}")
    if full is None:
        # What was fetched has nothing to do with the working tree.
        fetched = git.commit(f"refs/remotes/{branch}")
        if fetched:
            return fetched
        raise SnapshotError(f"code_source.git.branch: {git.root} has no local branch {branch!r}")
    changes = git.changes(limits)
    if changes:
        some = ", ".join(changes[:_MANY]) + (
            f" and {len(changes) - _MANY} more" if len(changes) > _MANY else ""
        )
        raise SnapshotError(
            f"code_source.git.branch: the files of {git.root} have changes that the branch does not have "
            f"({some}). Commit them, or pin code_source.git.commit"
        )
    return full


def _pack_commit(
    git: GitDirectory, tree: str, limits: Sequence[bytes], dirname: str, stream: TarStream
) -> None:
    """Copy the archive that git makes, without what differs from one git and one day to the next."""
    top = dirname.encode() + b"/"
    stream.directory(top)
    with (
        git.archive(tree, limits) as source,
        tarfile.open(
            fileobj=source, mode="r|", bufsize=BLOCK, encoding="utf-8", errors="surrogateescape"
        ) as members,
    ):
        while (member := members.next()) is not None:
            name = top + member.name.encode("utf-8", "surrogateescape")
            if member.isdir():
                stream.directory(name)
            elif member.issym():
                stream.link(name, member.linkname.encode("utf-8", "surrogateescape"))
            elif (content := members.extractfile(member)) is not None:
                write = stream.file(name, member.size, executable=bool(member.mode & 0o100))
                read_chunks(content, BLOCK, write)
                stream.end_file()
            # The reader would keep every header that it has seen.
            members.members = []  # type: ignore[attr-defined] # public, but unknown to typeshed
