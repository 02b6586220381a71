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
"""A code directory, or a commit of it, as an archive that is known by its content before it is packed."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow.providers.databricks_air.run.code.archive import BLOCK, Sink, TarStream, gzipped
from airflow.providers.databricks_air.run.code.directory import (
    EXECUTABLE,
    LINK,
    Directory,
    TreeFile,
    kind_of,
    read_chunks,
    refused,
)
from airflow.providers.databricks_air.run.code.filehash import FileHashes
from airflow.providers.databricks_air.run.code.git import GitDirectory
from airflow.providers.databricks_air.run.config.code_source import resolve_root
from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import SnapshotError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import CodeSource, GitRef

__all__ = ["Snapshot", "commit_key", "take_snapshot", "tree_key"]

log = logging.getLogger(__name__)

_KEY_VERSION = "v1"
_TREE_VERSION = b"airflow-tree-v1\0"
_MANY = 5
_NOT_CODE = re.compile(rb"(?:^|/)(?:\.git(?:/|$)|\._)")


@dataclass(frozen=True)
class Snapshot:
    """Code that is ready to be packed.

    :param dirname: the directory that holds everything in the archive, and on the node.
    :param key: 64 hex characters that stand for the content.
    :param origin: where the code comes from, for people: ``working tree`` or ``commit <id>``.
    :param pack: writes the entries of the archive.
    """

    dirname: str
    key: str
    origin: str
    pack: Callable[[TarStream], None] = field(repr=False, compare=False)

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
    git = GitDirectory(root)
    if code_source.git is None:
        files = tree_files(git, _normalised(include))
        return Snapshot(dirname, tree_key(files), "working tree", partial(_pack_tree, dirname, root, files))
    return _pinned(git, code_source.git, dirname, include)


def commit_key(commit: str, include_paths: Iterable[str] = (), subtree: str = "") -> str:
    """Return the key of a commit, the same as that of the ``databricks air`` command.

    :param commit: the commit as the author wrote it: a short id has another key than the full one.
    :param include_paths: limits of the archive, in any order.
    :param subtree: path of the packed directory below the repository's root; empty for the root.
    """
    paths = "\n".join(sorted(path.strip() for path in include_paths))
    text = f"{commit}\n{paths}\n{_KEY_VERSION}" + (f"\n{subtree}" if subtree else "")
    return hashlib.sha256(text.encode()).hexdigest()


def tree_key(files: Iterable[TreeFile]) -> str:
    """Return the key of a working tree: paths, kinds, link targets and contents.

    :param files: sorted by path.
    """
    digest = hashlib.sha256(_TREE_VERSION)
    for file in files:
        digest.update(b"%o %s\0%s\0%s\0" % (file.mode, file.digest.hex().encode(), file.path, file.target))
    return digest.hexdigest()


def tree_files(git: GitDirectory, include: Sequence[bytes] = ()) -> list[TreeFile]:
    """Return the files of the working tree, sorted by path, with what is in them.

    :param git: the directory.
    :param include: literal paths that limit the answer; everything when empty.
    :raises SnapshotError: naming what cannot be packed.
    """
    hashes = FileHashes(git.root)
    with Directory(git.root) as directory:
        _require(directory, include)
        files = sorted(_look(git, directory, hashes, include), key=lambda file: file.path)
        _refuse_strangers(git, directory, files, include)
    hashes.save()
    return files


def _look(
    git: GitDirectory,
    directory: Directory,
    hashes: FileHashes,
    include: Sequence[bytes] = (),
    below: bytes = b"",
) -> Iterator[TreeFile]:
    """Yield the files of *git*, and of the repositories inside it, without tracked files that were deleted.

    :param below: the path of *git* below the directory, with a final slash.
    """
    for path in sorted(below + path.rstrip(b"/") for path in set(git.files(include))):
        status = directory.status(path) if _is_code(path) else None
        if status is None:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield _look_at(directory, hashes, path, status)
        elif directory.status(path + b"/.git"):
            yield from _look(
                GitDirectory(directory.root / os.fsdecode(path)), directory, hashes, (), path + b"/"
            )


def _look_at(directory: Directory, hashes: FileHashes, path: bytes, status: os.stat_result) -> TreeFile:
    kind = kind_of(path, status)
    if kind == LINK:
        return TreeFile(path, LINK, target=directory.target(path))
    digest, size = hashes.digest(directory, path, status)
    return TreeFile(path, kind, size, digest)


def _require(directory: Directory, include: Sequence[bytes]) -> None:
    missing = [one_line(path) for path in include if directory.status(path) is None]
    if missing:
        raise SnapshotError(
            f"code_source.include_paths: {', '.join(missing)} not found in the code directory. "
            "Write paths relative to root_path"
        )


def _refuse_strangers(
    git: GitDirectory, directory: Directory, files: Sequence[TreeFile], include: Sequence[bytes]
) -> None:
    """Refuse pipes and sockets beside the files, unless they are ignored: git says nothing of them."""
    folders = {file.path.rpartition(b"/")[0] for file in files} or {b""}
    strangers = [path for path in directory.strangers(sorted(folders)) if _is_code(path)]
    wanted = [path for path in strangers if not include or _is_below(path, include)]
    left = sorted(set(wanted) - git.ignored(wanted)) if wanted else []
    if left:
        raise refused(left[0])


def _pack_tree(dirname: str, root: Path, files: Sequence[TreeFile], stream: TarStream) -> None:
    top = dirname.encode() + b"/"
    stream.directory(top)
    with Directory(root) as directory:
        for file in files:
            if file.mode == LINK:
                stream.link(top + file.path, file.target)
            else:
                _pack_file(directory, file, top, stream)


def _pack_file(directory: Directory, file: TreeFile, top: bytes, stream: TarStream) -> None:
    """Copy one file, and make sure that it is still what the key stands for."""
    digest = hashlib.sha256()
    with directory.open(file.path) as source:
        if os.fstat(source.fileno()).st_size != file.size:
            raise _changed(file.path)
        write = stream.file(top + file.path, file.size, executable=file.mode == EXECUTABLE)
        copied = 0
        while copied < file.size and (piece := source.read(min(BLOCK, file.size - copied))):
            copied += len(piece)
            digest.update(piece)
            write(piece)
    if digest.digest() != file.digest:
        raise _changed(file.path)
    stream.end_file()


def _changed(path: bytes) -> SnapshotError:
    return SnapshotError(
        f"code_source: {one_line(path)} changed while it was packed. Try again when nothing writes to it"
    )


def _pinned(git: GitDirectory, ref: GitRef, dirname: str, include: Sequence[str]) -> Snapshot:
    """Return the snapshot of a commit, or of the local head of a branch."""
    prefix = git.prefix
    if prefix is None:
        raise SnapshotError(
            f"code_source.git: {git.root} is in no git work tree. Remove code_source.git to pack it as it is"
        )
    limits = _normalised(include)
    commit = _of_branch(git, ref.branch, limits) if ref.branch else _of_commit(git, ref.commit or "")
    subtree = os.fsdecode(prefix.rstrip(b"/"))
    tree = f"{commit}:{subtree}" if subtree else commit
    missing = git.missing(tree, limits) if limits else []
    if missing:
        raise SnapshotError(f"code_source.include_paths: commit {commit} does not have {', '.join(missing)}")
    key = commit_key(commit, include, subtree)
    return Snapshot(dirname, key, f"commit {commit}", partial(_pack_commit, git, tree, limits, dirname))


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


def _normalised(include: Sequence[str]) -> list[bytes]:
    """Return the limits as git knows paths; none when one of them is the whole directory."""
    paths = {posixpath.normpath(path.strip()) for path in include}
    return [] if "." in paths else sorted(os.fsencode(path) for path in paths)


def _is_below(path: bytes, include: Sequence[bytes]) -> bool:
    return any(path == limit or path.startswith(limit + b"/") for limit in include)


def _is_code(path: bytes) -> bool:
    """Return whether *path* is neither git's own nor a shadow that macOS leaves beside a file."""
    return not _NOT_CODE.search(path)


def _checked_name(dirname: str) -> str:
    if not dirname or not dirname.isprintable():
        raise SnapshotError(
            f"code_source.root_path: a directory called {dirname!r} cannot be the node's code directory. "
            "Choose a directory whose name is plain text"
        )
    return dirname
