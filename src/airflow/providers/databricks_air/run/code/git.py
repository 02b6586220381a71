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
"""What git knows about a directory. A value from a configuration never reaches git as an option."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from airflow.providers.databricks_air.run.errors import SnapshotError

__all__ = ["GitDirectory"]

# Where a surrounding git command (a hook, for example) has pointed git must not matter here.
_LOCAL_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
# No monitor of somebody else's repository is started, and the user's line endings do not get into an archive.
_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.autocrlf=false", "-c", "tar.umask=0022")
_LITERAL = "--literal-pathspecs"
_WHERE = ("rev-parse", "--is-inside-work-tree", "--show-cdup", "--show-prefix")
_DISTRUST = (b"dubious ownership", b"unsafe repository")
# What would run a program, or reach for the network, while git lists, compares or archives files.
_RUNS = r"^(filter\..*|extensions\.partialclone|remote\..*\.promisor)$"


@dataclass(frozen=True)
class GitDirectory:
    """A directory and what git says about it.

    :param root: an absolute path.
    """

    root: Path

    @property
    def prefix(self) -> bytes | None:
        """The path from the repository's root to here, with a final slash; None outside a work tree."""
        return self._place[1] if self._place else None

    @cached_property
    def _first_look(self) -> subprocess.CompletedProcess[bytes]:
        return self._run_with((), *_WHERE)

    @cached_property
    def _trust(self) -> tuple[str, ...]:
        """The settings with which git reads a repository of another user; none where it needs none."""
        said = self._first_look.stderr
        if self._first_look.returncode == 0 or not any(words in said for words in _DISTRUST):
            return ()
        trust = ("-c", f"safe.directory={_top_of(self.root)}", "-c", "core.hooksPath=/dev/null")
        found = self._run_with(trust, "config", "--local", "--includes", "--name-only", "--get-regexp", _RUNS)
        if programs := sorted(set(found.stdout.decode("utf-8", "replace").split())):
            raise SnapshotError(
                f"code_source.root_path: the repository of {self.root} belongs to another user, and its "
                f"configuration names programs that git would run ({', '.join(programs)}). If you trust it, "
                f"run on this machine: git config --global --add safe.directory '{_top_of(self.root)}'"
            )
        return trust

    @cached_property
    def _place(self) -> tuple[bytes, bytes] | None:
        """The way up to the repository's root, and the way back down; None outside a work tree."""
        result = self._run(*_WHERE) if self._trust else self._first_look
        if result.returncode == 0:
            inside, *place = result.stdout.removesuffix(b"\n").split(b"\n", 2)
            # The root of a repository has two empty lines, which some releases of git leave out.
            up, down = [*place, b"", b""][:2]
            return (up, down) if inside == b"true" and not self._is_ignored(up, down) else None
        if any(words in result.stderr for words in _DISTRUST):
            raise SnapshotError(
                f"code_source.root_path: git does not trust the repository of {self.root}, which belongs to "
                f"another user. Run on this machine: git config --global --add safe.directory '{self.root}'"
            )
        return None

    def files(self, include: Sequence[bytes] = ()) -> Iterator[bytes]:
        """Yield the paths that belong to the working tree: tracked, and untracked but not ignored.

        A path with a final slash is a repository inside this one. Tracked paths may be missing on the disk.

        :param include: literal paths that limit the answer; everything when empty.
        """
        arguments: tuple[str | bytes, ...] = (
            _LITERAL,
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
            "--",
            *include,
        )
        with self._repository() as environment:
            yield from _split(self._checked(*arguments, environment=environment))

    def ignored(self, paths: Sequence[bytes]) -> set[bytes]:
        """Return those of *paths* that git ignores."""
        arguments = ("check-ignore", "-z", "--stdin")
        # The prefix keeps a path from being taken for a pattern.
        content = b"".join(b"./" + path + b"\0" for path in paths)
        with self._repository() as environment:
            found = self._run(*arguments, content=content, environment=environment).stdout
        return {path.removeprefix(b"./") for path in _split(found)}

    def commit(self, revision: str) -> str | None:
        """Return the full id of the commit that *revision* names; None if there is none here."""
        # git has no end-of-options mark for rev-parse before 2.30, and refuses no leading dash after it.
        if revision.startswith("-"):
            return None
        result = self._run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        return result.stdout.decode().strip() if result.returncode == 0 else None

    def changes(self, include: Sequence[bytes] = ()) -> list[str]:
        """Return the paths that differ from the last commit, or are new, as ``git status`` shows them."""
        status = self._checked(_LITERAL, "status", "--porcelain", "-z", "--", *(include or (b".",)))
        return [os.fsdecode(line) for line in _split(status)]

    def missing(self, tree: str, paths: Sequence[bytes]) -> list[str]:
        """Return those of *paths* that *tree* (``commit`` or ``commit:directory``) does not have."""
        found = set(
            _split(self._checked(_LITERAL, "ls-tree", "-z", "--name-only", "--full-tree", tree, "--", *paths))
        )
        return [os.fsdecode(path) for path in paths if path.rstrip(b"/") not in found]

    def has_no_files(self, tree: str, include: Sequence[bytes] = ()) -> bool:
        """Return whether *tree* holds no file: it is empty, or there is nothing but submodules.

        :param tree: ``commit`` or ``commit:directory``.
        :param include: literal paths that limit the answer; everything when empty.
        """
        listed = self._checked(_LITERAL, "ls-tree", "-r", "-z", "--full-tree", tree, "--", *include)
        return all(entry.split(b" ", 2)[1] == b"commit" for entry in _split(listed))

    @contextmanager
    def archive(self, tree: str, include: Sequence[bytes] = ()) -> Iterator[IO[bytes]]:
        """Give the tar stream of *tree*, as ``git archive`` makes it.

        :param tree: ``commit`` or ``commit:directory``.
        :param include: literal paths that limit the archive; everything when empty.
        :raises SnapshotError: when git fails on the way.
        """
        command: list[str | bytes] = [
            *_git(),
            *self._trust,
            _LITERAL,
            "archive",
            "--format=tar",
            tree,
            "--",
            *include,
        ]
        with (
            tempfile.TemporaryFile() as messages,
            subprocess.Popen(
                command,
                cwd=self._top,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=_environment(),
            ) as process,
        ):
            assert process.stdout is not None
            try:
                yield process.stdout
            except tarfile.TarError as error:
                # The stream breaks off where git gave up; then git's message says more.
                process.stdout.read()
                if process.wait() == 0:
                    raise SnapshotError(f"code_source: the archive of git cannot be read: {error}") from None
            except BaseException:
                process.kill()
                raise
            process.stdout.read()
            if process.wait() != 0:
                messages.seek(0)
                raise _failed("archive", messages.read(), self.root)

    @property
    def _top(self) -> Path:
        """The root of the work tree: ``commit:directory`` and the paths in it are relative to that."""
        up = self._place[0] if self._place else b""
        return self.root / os.fsdecode(up)

    @contextmanager
    def _repository(self) -> Iterator[dict[str, str]]:
        """Give the variables that point git to an empty repository; none in a work tree."""
        if self.prefix is not None:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="air-git-") as directory:
            for name in ("objects", "refs"):
                Path(directory, name).mkdir()
            Path(directory, "HEAD").write_text("ref: refs/heads/none\n")
            yield {"GIT_DIR": directory, "GIT_WORK_TREE": str(self.root)}

    def _is_ignored(self, up: bytes, down: bytes) -> bool:
        """Return whether the repository around the directory ignores it as a whole, tracking nothing in it."""
        if not down:
            return False
        ignored = self._run(b"-C", up, "check-ignore", "-q", "--", b"./" + down).returncode == 0
        return ignored and not self._run("ls-files", "--cached", "-z").stdout

    def _checked(self, *arguments: str | bytes, environment: dict[str, str] | None = None) -> bytes:
        result = self._run(*arguments, environment=environment)
        if result.returncode != 0:
            what = next(str(word) for word in arguments if word != _LITERAL)
            raise _failed(what, result.stderr, self.root)
        return result.stdout

    def _run(
        self, *arguments: str | bytes, content: bytes = b"", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self._run_with(self._trust, *arguments, content=content, environment=environment)

    def _run_with(
        self,
        settings: Sequence[str],
        *arguments: str | bytes,
        content: bytes = b"",
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*_git(), *settings, *arguments],
            cwd=self.root,
            input=content,
            capture_output=True,
            env=_environment() | (environment or {}),
            check=False,
        )


def _git() -> list[str]:
    """Return the start of every command.

    :raises SnapshotError: when there is no git.
    """
    program = shutil.which("git")
    if program is None:
        raise SnapshotError(
            "code_source: the directory is in a git repository, and there is no git on the PATH to tell which "
            "files belong to the code. Install git on the worker"
        )
    return [program, *_SETTINGS]


def _top_of(root: Path) -> Path:
    """Return the directory that git compares with ``safe.directory``."""
    real = Path(os.path.realpath(root))
    return next((place for place in (real, *real.parents) if os.path.lexists(place / ".git")), real)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _LOCAL_VARIABLES}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _split(output: bytes) -> Iterator[bytes]:
    return (part for part in output.split(b"\0") if part)


def _failed(what: str, said: bytes, root: Path) -> SnapshotError:
    text = said.decode("utf-8", "replace").strip() or "no message"
    return SnapshotError(f"code_source: git {what} failed in {root}: {text}")
