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
"""Snapshots of working trees and of commits, made by real git in real directories."""

from __future__ import annotations

import gzip
import io
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from airflow.providers.databricks_air.run.errors import ConfigError, SnapshotError
from tests.unit.run.code.trees import commit_all, git, names, snapshot, tar_of, write


class TestDeterminism:
    """Content alone decides the key and the stream."""

    def clone(self, repo: Path, target: Path, umask: int) -> Path:
        """Clone *repo* under another umask."""
        old = os.umask(umask)
        try:
            target.parent.mkdir(parents=True)
            git(repo, "clone", "-q", str(repo), str(target))
        finally:
            os.umask(old)
        return target

    def test_two_clones(self, repo: Path, tmp_path: Path) -> None:
        """Two clones in two places with two umasks and other times have the same key and the same stream."""
        (repo / "run.sh").write_text("#!/bin/sh\n")
        (repo / "run.sh").chmod(0o755)
        (repo / "link").symlink_to("run.sh")
        commit_all(repo)
        one = self.clone(repo, tmp_path / "one" / "proj", 0o077)
        two = self.clone(repo, tmp_path / "two" / "proj", 0o000)
        for path in two.rglob("*.py"):
            os.utime(path, (1, 1))
        if os.geteuid() == 0:
            os.chown(two / "train.py", 1234, 1234)
        assert snapshot(one).key == snapshot(two).key
        assert tar_of(snapshot(one)) == tar_of(snapshot(two))

    def test_another_process_gives_the_same_archive(self, repo: Path) -> None:
        """The compressed stream carries no time and does not depend on the number of threads."""
        taken, first, second = snapshot(repo), io.BytesIO(), io.BytesIO()
        taken.write_archive(first)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            taken.write_archive(second)
        finally:
            os.sched_setaffinity(0, allowed)
        assert first.getvalue() == second.getvalue()
        assert first.getvalue()[4:8] == bytes(4)
        assert gzip.decompress(first.getvalue()) == tar_of(taken)

    @pytest.mark.parametrize("change", ["content", "mode", "name", "target", "kind"])
    def test_every_part_counts(self, repo: Path, change: str) -> None:
        """Content, the executable bit, names, link targets and kinds all change the key."""
        (repo / "link").symlink_to("a")
        before = snapshot(repo).key
        if change == "content":
            write(repo, train_py="print(3)\n")
        elif change == "mode":
            (repo / "train.py").chmod(0o755)
        elif change == "name":
            (repo / "train.py").rename(repo / "train2.py")
        elif change == "target":
            (repo / "link").unlink()
            (repo / "link").symlink_to("b")
        else:
            (repo / "link").unlink()
            (repo / "link").write_text("a")
        assert snapshot(repo).key != before

    def test_same_size_and_time_is_noticed(self, repo: Path) -> None:
        """An edit that keeps size and modification time changes the key, also right after the last look."""
        before = snapshot(repo).key
        times = (repo / "train.py").stat()
        (repo / "train.py").write_text("print(9)\n")
        os.utime(repo / "train.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        assert snapshot(repo).key != before


class TestHostileTrees:
    """Whatever is in a tree is packed right, or refused by its name."""

    def test_strange_names(self, repo: Path) -> None:
        """Newlines, quotes, leading dashes, long names and bytes that are no UTF-8 are packed as they are."""
        strange = [
            b"new\nline",
            b"quo'te\"s",
            b"-rf",
            b"--help",
            b"caf\xe9",
            b"\xff\xfe",
            b"a" * 200,
            b" ",
            b"\\x",
            b":!x",
        ]
        for name in strange:
            (repo / "src" / os.fsdecode(name)).write_bytes(name)
        found = {os.fsencode(name) for name in names(snapshot(repo))}
        assert {b"src/" + name for name in strange} <= found
        commit_all(repo)
        assert {os.fsencode(name) for name in names(snapshot(repo, commit="HEAD"))} == found | {
            b"src",
            b"research",
        }

    @pytest.mark.parametrize("name", [b"new\nline", b"-rf", b"--help", b":!x", b"*"])
    def test_strange_include_paths(self, repo: Path, name: bytes) -> None:
        """Include paths are never options or patterns."""
        (repo / os.fsdecode(name)).write_text("x")
        commit_all(repo)
        path = os.fsdecode(name)
        assert names(snapshot(repo, include=[path])) == [path]
        assert names(snapshot(repo, include=[path], commit="HEAD")) == [path]

    @pytest.mark.parametrize("tracked", [False, True])
    def test_pipe(self, repo: Path, tracked: bool) -> None:
        """A pipe is refused by name, whether it is new or stands where a tracked file was."""
        path = repo / "src" / ("model.py" if tracked else "pipe")
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(SnapshotError, match=f"src/{path.name} is a pipe"):
            snapshot(repo)

    def test_ignored_pipe(self, repo: Path) -> None:
        """A pipe that git ignores does not disturb."""
        os.mkfifo(repo / "x.log")
        assert "train.py" in names(snapshot(repo))

    def test_socket(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket is refused by name, also outside a repository."""
        write(root, a_py="1")
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("ipc.sock")
            with pytest.raises(SnapshotError, match=r"ipc\.sock is a pipe, a socket"):
                snapshot(root)

    def test_unreadable_file(self) -> None:
        """A file that may not be read is refused by name."""
        script = (
            "import os, sys; from pathlib import Path\n"
            "from airflow.providers.databricks_air.run.config.run_config import CodeSource\n"
            "from airflow.providers.databricks_air.run.code.snapshot import take_snapshot\n"
            "source = CodeSource(root_path=sys.argv[1])\n"
            # Root may read everything.
            "os.setuid(65534) if os.getuid() == 0 else None\n"
            "take_snapshot(source, Path('/'))\n"
        )
        # The directories of pytest are closed to other users.
        with tempfile.TemporaryDirectory() as root:
            Path(root).chmod(0o755)
            (Path(root) / "a.py").touch(0)
            command = [sys.executable, "-c", script, root]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert "SnapshotError: code_source: a.py cannot be read: Permission denied" in done.stderr

    def test_file_that_vanishes(self, repo: Path) -> None:
        """A file that vanishes between the look and the packing is named."""
        taken = snapshot(repo)
        (repo / "train.py").unlink()
        with pytest.raises(SnapshotError, match=r"train\.py vanished"):
            tar_of(taken)

    @pytest.mark.parametrize("content", ["print(2)\n", "longer than before\n", ""])
    def test_file_that_changes(self, repo: Path, content: str) -> None:
        """An archive never holds other content than its key says."""
        taken = snapshot(repo)
        write(repo, train_py=content)
        with pytest.raises(SnapshotError, match=r"train\.py changed"):
            taken.write_archive(io.BytesIO())

    def test_missing_root(self, tmp_path: Path) -> None:
        """A code directory that does not exist is named."""
        with pytest.raises(ConfigError, match="nowhere"):
            snapshot(tmp_path / "nowhere")

    def test_name_that_no_node_can_have(self, tmp_path: Path) -> None:
        """The directory's own name becomes a path on the node, so it must be plain text."""
        path = tmp_path / "bad\nname"
        path.mkdir()
        with pytest.raises(SnapshotError, match="Choose a directory"):
            snapshot(path)
