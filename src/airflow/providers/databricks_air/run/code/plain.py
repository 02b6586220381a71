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
"""The files of a directory that is in no repository, by the rules of its ``.gitignore`` files; git is not needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pathspec import GitIgnoreSpec

from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["PlainDirectory", "is_in_repository"]

_IGNORE_FILE = ".gitignore"
_ANY = -1


class _Rule(NamedTuple):
    """One line of an ignore file.

    The library's pattern also matches what lies below; whether an entry itself is meant is told here.
    """

    pattern: GitIgnoreSpec
    negated: bool
    is_for_directories: bool
    depth: int

    def matches(self, path: str, *, is_directory: bool) -> bool:
        if self.is_for_directories and not is_directory:
            return False
        if self.depth == 0:
            return self.pattern.match_file(path.rpartition("/")[2])
        return self.depth in (_ANY, path.count("/") + 1) and self.pattern.match_file(path)


_Rules: TypeAlias = tuple[tuple[str, list[_Rule]], ...]


def is_in_repository(root: Path) -> bool:
    """Return whether *root* or a directory above it holds a ``.git``, so that git must be asked.

    :param root: an absolute path, which may lead through links.
    """
    real = Path(os.path.realpath(root))
    return any(os.path.lexists(place / ".git") for place in (real, *real.parents))


@dataclass(frozen=True)
class PlainDirectory:
    """A directory and what its ignore files say about it; those of the user and of the machine do not count.

    :param root: an absolute path.
    """

    root: Path
    _known: dict[str, _Rules] = field(default_factory=dict, repr=False, compare=False)

    def files(self, include: Sequence[bytes] = ()) -> Iterator[bytes]:
        """Yield the paths that are not ignored; one with a final slash is a repository inside.

        :param include: literal paths that limit the answer; everything when empty.
        :raises SnapshotError: naming a directory that cannot be read.
        """
        limits = [os.fsdecode(limit) for limit in include]
        yield from (os.fsencode(path) for path in self._walk("", limits))

    def ignored(self, paths: Sequence[bytes]) -> set[bytes]:
        """Return those of *paths* that are ignored, or lie in a directory that is."""
        return {path for path in paths if self._lies_in_ignored(os.fsdecode(path))}

    def _walk(self, folder: str, limits: Sequence[str]) -> Iterator[str]:
        rules = self._rules(folder)
        for entry in self._entries(folder):
            path = folder + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if not _is_wanted(path, limits, is_directory=is_directory):
                continue
            if is_directory:
                if os.path.lexists(f"{self.root}/{path}/.git"):
                    yield f"{path}/"
                elif entry.name != ".git" and not _is_ignored(rules, path, is_directory=True):
                    yield from self._walk(f"{path}/", limits)
            elif (entry.is_file(follow_symlinks=False) or entry.is_symlink()) and not _is_ignored(
                rules, path, is_directory=False
            ):
                yield path

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self.root}/{folder}") as entries:
                return list(entries)
        except OSError as error:
            raise SnapshotError(
                f"code_source: {folder or self.root} cannot be read: {error.strerror}"
            ) from None

    def _rules(self, folder: str) -> _Rules:
        """Return the rules that hold in *folder*, those of the root first."""
        if folder not in self._known:
            above = self._rules(_parent(folder)) if folder else ()
            own = self._read(folder)
            self._known[folder] = (*above, (folder, own)) if own is not None else above
        return self._known[folder]

    def _read(self, folder: str) -> list[_Rule] | None:
        try:
            # As git does it: a link is no ignore file.
            name = f"{self.root}/{folder}{_IGNORE_FILE}"
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
            return [rule for line in file.read().split("\n") if (rule := _rule(line)) is not None]

    def _lies_in_ignored(self, path: str) -> bool:
        parts = path.split("/")
        places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(
            _is_ignored(self._rules(_parent(place)), place, is_directory=(self.root / place).is_dir())
            for place in places
        )


def _parent(path: str) -> str:
    """Return the folder that holds *path*, with a final slash; empty for the root."""
    above = path.rstrip("/").rpartition("/")[0]
    return f"{above}/" if above else ""


def _rule(line: str) -> _Rule | None:
    """Return the rule in one line of an ignore file; None for a comment and an empty line."""
    text = line.removesuffix("\r")
    text = text if text.endswith("\\ ") else text.rstrip(" ")
    if not text.strip("/") or text.startswith("#"):
        return None
    negated, text = text.startswith("!"), text.removeprefix("!")
    wanted = text.removesuffix("/")
    # All below a directory is each of its children, for who does not come in sees nothing below.
    wanted = wanted.removesuffix("*") if wanted.endswith("/**") else wanted
    depth = wanted.strip("/").count("/") + 1 if "/" in wanted else 0
    pattern = GitIgnoreSpec.from_lines([wanted])
    return _Rule(pattern, negated, text.endswith("/"), _ANY if "**" in wanted and depth else depth)


def _is_ignored(rules: _Rules, path: str, *, is_directory: bool) -> bool:
    """Return what the last rule of the deepest ignore file says that says anything of *path*."""
    for folder, own in reversed(rules):
        below = path.removeprefix(folder)
        for rule in reversed(own):
            if rule.matches(below, is_directory=is_directory):
                return not rule.negated
    return False


def _is_wanted(path: str, limits: Sequence[str], *, is_directory: bool) -> bool:
    if not limits:
        return True
    below = any(path == limit or path.startswith(f"{limit}/") for limit in limits)
    return below or (is_directory and any(limit.startswith(f"{path}/") for limit in limits))
