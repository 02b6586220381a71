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
"""Extracting a code snapshot, on every Python that is supported: early patch releases have no extraction filter."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from databricks_air_local.engine.launch import CommandError, extract_code


@pytest.fixture(params=["filter", "no filter"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the extraction filter away for half of the tests, as Python before 3.10.12 and 3.11.4 does."""
    if request.param == "no filter":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def _archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, 0o755
    member.size = 1 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.usefixtures("python")
def test_a_snapshot_is_extracted(tmp_path: Path) -> None:
    """Files, directories and links that stay inside arrive, and the one top directory is returned."""
    archive = _archive(
        tmp_path / "code.tar.gz",
        _member("code", tarfile.DIRTYPE),
        _member("code/src/train.py"),
        _member("code/link.py", tarfile.SYMTYPE, "src/train.py"),
        _member("code/src/up.py", tarfile.SYMTYPE, "../src/train.py"),
    )
    top = extract_code(archive, tmp_path / "node")
    assert top == tmp_path / "node" / "code"
    assert [(top / name).read_bytes() for name in ("src/train.py", "link.py", "src/up.py")] == [b"x"] * 3


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    "member",
    [
        _member("../outside.py"),
        _member("code/../../outside.py"),
        _member("code/passwd", tarfile.SYMTYPE, "/etc/passwd"),
        _member("code/up", tarfile.SYMTYPE, "../../outside"),
        _member("code/hard", tarfile.LNKTYPE, "../outside"),
        _member("code/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name} {member.linkname}".strip(),
)
def test_a_snapshot_cannot_leave_its_directory(tmp_path: Path, member: tarfile.TarInfo) -> None:
    """An archive that reaches outside of its directory, or holds a device, fails the run before anything runs."""
    with pytest.raises(CommandError, match="not a usable"):
        extract_code(_archive(tmp_path / "code.tar.gz", member), tmp_path / "node")
    assert not (tmp_path / "outside.py").exists()
