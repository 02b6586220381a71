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
"""The working tree, as it is now, as contents of an archive."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from airflow.providers.databricks_air.run.code.archive import BLOCK, Contents, TarStream
from airflow.providers.databricks_air.run.code.directory import (
    EXECUTABLE,
    LINK,
    Directory,
    TreeFile,
    kind_of,
    refused,
)
from airflow.providers.databricks_air.run.code.filehash import file_digest
from airflow.providers.databricks_air.run.code.git import GitDirectory
from airflow.providers.databricks_air.run.code.include_paths import is_below, normalised
from airflow.providers.databricks_air.run.code.plain import PlainDirectory, is_in_repository
from airflow.providers.databricks_air.run.document.display import one_line
from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["tree_contents", "tree_key"]

_TREE_VERSION = b"airflow-tree-v1\0"
_NOT_CODE = re.compile(rb"(?:^|/)(?:\.git(?:/|$)|\._)")
Source: TypeAlias = GitDirectory | PlainDirectory
"""What tells which files of a directory belong to the code."""


def tree_contents(root: Path, dirname: str, include: Sequence[str]) -> Contents:
    """Return the files of the working tree as contents of an archive.

    :param root: the directory.
    :param dirname: the directory that holds everything in the archive.
    :param include: limits as the author wrote them.
    :raises SnapshotError: naming what cannot be packed, and the limit that selects nothing.
    """
    files = tree_files(root, normalised(include))
    return Contents(tree_key(files), "working tree", partial(_pack_tree, dirname, root, files))


def tree_key(files: Iterable[TreeFile]) -> str:
    """Return the key of a working tree: paths, kinds, link targets and contents.

    :param files: sorted by path.
    """
    digest = hashlib.sha256(_TREE_VERSION)
    for file in files:
        digest.update(b"%o %s\0%s\0%s\0" % (file.mode, file.digest.hex().encode(), file.path, file.target))
    return digest.hexdigest()


def tree_files(root: Path, include: Sequence[bytes] = ()) -> list[TreeFile]:
    """Return the files of the working tree, sorted by path, with what is in them.

    :param root: the directory.
    :param include: literal paths that limit the answer; everything when empty.
    :raises SnapshotError: naming what cannot be packed, and the limit that selects nothing.
    """
    source: Source = GitDirectory(root) if is_in_repository(root) else PlainDirectory(root)
    with Directory(root) as directory:
        _require(directory, include)
        files = sorted(_look(source, directory, include), key=lambda file: file.path)
        _refuse_nothing(source, directory, files, include)
        _refuse_strangers(source, directory, files, include)
    return files


def _look(
    source: Source, directory: Directory, include: Sequence[bytes] = (), below: bytes = b""
) -> Iterator[TreeFile]:
    """Yield the files of *source*, and of the repositories inside it, without tracked files that were deleted.

    :param below: the path of *source* below the directory, with a final slash.
    """
    inside = {limit: _repository_around(directory, limit, below) for limit in include}
    for limit, folder in inside.items():
        if folder:
            yield from _look_inside(directory, folder, (limit.removeprefix(folder + b"/"),))
    own = [limit.removeprefix(below) for limit, folder in inside.items() if not folder]
    if include and not own:
        return
    for path in sorted(below + path.rstrip(b"/") for path in set(source.files(own))):
        status = directory.status(path) if _is_code(path) else None
        if status is None:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield _look_at(directory, path, status)
        elif directory.status(path + b"/.git"):
            yield from _look_inside(directory, path, ())


def _look_inside(directory: Directory, folder: bytes, include: Sequence[bytes]) -> Iterator[TreeFile]:
    below = folder + b"/"
    inner = GitDirectory(directory.root / os.fsdecode(folder))
    yield from _look(inner, directory, [below + limit for limit in include], below)


def _repository_around(directory: Directory, limit: bytes, below: bytes) -> bytes:
    """Return the outermost repository between *below* and *limit*; empty when there is none."""
    parts = limit.removeprefix(below).split(b"/")
    folders = (below + b"/".join(parts[:count]) for count in range(1, len(parts)))
    return next((folder for folder in folders if directory.status(folder + b"/.git")), b"")


def _look_at(directory: Directory, path: bytes, status: os.stat_result) -> TreeFile:
    kind = kind_of(path, status)
    if kind == LINK:
        return TreeFile(path, LINK, target=directory.target(path))
    digest, size = file_digest(directory, path)
    return TreeFile(path, kind, size, digest)


def _require(directory: Directory, include: Sequence[bytes]) -> None:
    missing = [one_line(path) for path in include if directory.status(path) is None]
    if missing:
        raise SnapshotError(
            f"code_source.include_paths: {', '.join(missing)} not found in the code directory. "
            "Write paths relative to root_path"
        )


def _refuse_nothing(
    source: Source, directory: Directory, files: Sequence[TreeFile], include: Sequence[bytes]
) -> None:
    """Refuse an archive without files, and a limit whose files were left out: the run would miss its code."""
    if not include and not files:
        raise SnapshotError(
            f"code_source.root_path: {source.root} holds no file to pack: it is empty, or everything in it is "
            "ignored. Check the path and .gitignore"
        )
    without = [limit for limit in include if not any(is_below(file.path, [limit]) for file in files)]
    reasons = {limit: _why_nothing(source, directory, limit) for limit in without}
    said = [f"{one_line(limit)} ({why})" for limit, why in reasons.items() if why != _EMPTY or not files]
    if said:
        raise SnapshotError(f"code_source.include_paths: {', '.join(said)}: no file is selected by it")


_EMPTY = "an empty directory, or a submodule that is not checked out"


def _why_nothing(source: Source, directory: Directory, limit: bytes) -> str:
    if not _is_code(limit):
        return "git's own or a shadow file of macOS, which is never packed"
    if source.ignored([limit]):
        return "ignored by .gitignore; remove the rule, or add the path with git add -f"
    with os.scandir(directory.root / os.fsdecode(limit)) as entries:
        return "everything in it is ignored or empty" if any(entries) else _EMPTY


def _refuse_strangers(
    source: Source, directory: Directory, files: Sequence[TreeFile], include: Sequence[bytes]
) -> None:
    """Refuse pipes and sockets beside the files, unless they are ignored: git says nothing of them."""
    folders = {file.path.rpartition(b"/")[0] for file in files} or {b""}
    strangers = [path for path in directory.strangers(sorted(folders)) if _is_code(path)]
    wanted = [path for path in strangers if not include or is_below(path, include)]
    left = sorted(set(wanted) - source.ignored(wanted)) if wanted else []
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


def _is_code(path: bytes) -> bool:
    """Return whether *path* is neither git's own nor a shadow that macOS leaves beside a file."""
    return not _NOT_CODE.search(path)
