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
"""The memory of file hashes: quick, safe to delete, never wrong."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow.providers.databricks_air.run.code.directory import Directory
from airflow.providers.databricks_air.run.code.filehash import FileHashes, cache_directory


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file ``a`` that was written long ago, as far as the file system can tell."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "root"
    path.mkdir()
    (path / "a").write_text("one")
    wait_a_tick(path)
    return path


def wait_a_tick(root: Path) -> None:
    """Wait until ``a`` was written long enough ago for the memory to trust its times."""
    while time.time_ns() - (root / "a").stat().st_ctime_ns < 60_000_000:
        os.sched_yield()


def digest(root: Path) -> str:
    """Return the hash of ``a`` as a new process would find it, and remember it."""
    hashes = FileHashes(root)
    with Directory(root) as directory:
        status = directory.status(b"a")
        assert status is not None
        found, _ = hashes.digest(directory, b"a", status)
    hashes.save()
    return found.hex()


def sha(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def memory() -> Path:
    """Return the only file of the memory."""
    (file,) = (cache_directory() / "files").iterdir()
    return file


def bytes_read() -> int:
    """Return how many bytes this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_remembered_file_is_not_read(root: Path) -> None:
    """A file that did not change is not read again."""
    size = 8 * 1024 * 1024
    (root / "a").write_bytes(bytes(size))
    wait_a_tick(root)
    start = bytes_read()
    first = digest(root)
    middle = bytes_read()
    assert digest(root) == first
    assert middle - start >= size
    assert bytes_read() - middle < size


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_young_file_is_not_trusted(root: Path) -> None:
    """A file that was read within a tick of its last change is read again: it may have changed unseen."""
    size = 1024 * 1024
    age = 1.0
    while age > 0.05:
        (root / "a").write_bytes(bytes(size))
        digest(root)
        age = time.time() - (root / "a").stat().st_ctime
    wait_a_tick(root)
    start = bytes_read()
    digest(root)
    middle = bytes_read()
    digest(root)
    assert middle - start >= size
    assert bytes_read() - middle < size


def test_change_of_the_same_size_and_time(root: Path) -> None:
    """A change that keeps size and modification time is seen."""
    digest(root)
    times = (root / "a").stat()
    (root / "a").write_text("two")
    os.utime(root / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(root) == sha("two")


def test_change_right_after_the_look(root: Path) -> None:
    """Changes in the same tick of the clock are all seen."""
    for number in range(200):
        text = f"{number:03}"
        (root / "a").write_text(text)
        assert digest(root) == sha(text)


@pytest.mark.parametrize(
    "content", [b"", b"air file hashes 1\n", b"air file hashes 1\n" + bytes(100), b"\xff" * 99]
)
def test_spoilt_memory(root: Path, content: bytes) -> None:
    """A memory that is not as it was written is forgotten."""
    digest(root)
    memory().write_bytes(content)
    assert digest(root) == sha("one")
    assert digest(root) == sha("one")


def test_cut_memory(root: Path) -> None:
    """A memory whose bytes were changed is forgotten, so that it can never give a wrong hash."""
    digest(root)
    content = bytearray(memory().read_bytes())
    content[60] ^= 1
    memory().write_bytes(content)
    assert digest(root) == sha("one")


def test_memory_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for the memory everything works."""
    blocked = root.parent / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert digest(root) == sha("one")


def test_many_at_once(root: Path) -> None:
    """Many that look and remember at once all find the right hash, and leave a good memory."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: digest(root), range(40))) == {sha("one")}
    assert [file.name for file in (cache_directory() / "files").iterdir()] == [memory().name]


def test_old_memories_are_removed(root: Path) -> None:
    """The memory of a directory that nobody asked for in a month is removed."""
    digest(root)
    old = memory().with_name("old")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    (root / "a").write_text("two")
    digest(root)
    assert not old.exists()
