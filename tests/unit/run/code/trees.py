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
"""Code trees that a test makes, and what is packed of them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from airflow.providers.databricks_air.run.code.snapshot import Snapshot, take_snapshot
from airflow.providers.databricks_air.run.config.run_config import CodeSource


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """Run git in *root* as a fixed author, without the settings of this machine."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_DATE": "2024-05-01T12:00:00Z",
        "GIT_COMMITTER_DATE": "2024-05-01T12:00:00Z",
    }
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=check
    )
    return done.stdout.strip()


def commit_all(root: Path) -> None:
    """Commit everything that is not ignored."""
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")


def write(root: Path, **files: str) -> None:
    """Write files; ``__`` in a name stands for ``/``, a final ``_py`` for ``.py``."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def code_source(root: Path, include: list[str] | None = None, **ref: str) -> CodeSource:
    """Return the configuration that packs *root*."""
    fields: dict[str, Any] = {"root_path": str(root)}
    if include:
        fields["include_paths"] = include
    if ref:
        fields["git"] = ref
    return CodeSource(**fields)


def snapshot(root: Path, *, include: list[str] | None = None, **ref: str) -> Snapshot:
    """Take a snapshot of *root*; ``commit`` or ``branch`` pins it."""
    return take_snapshot(code_source(root, include, **ref), root.parent)


def tar_of(taken: Snapshot) -> bytes:
    """Return the uncompressed archive."""
    sink = io.BytesIO()
    taken.write_tar(sink)
    return sink.getvalue()


def members(taken: Snapshot) -> dict[str, tarfile.TarInfo]:
    """Return what is in the compressed archive, by name."""
    file = io.BytesIO()
    taken.write_archive(file)
    with tarfile.open(fileobj=io.BytesIO(file.getvalue()), mode="r:gz", errors="surrogateescape") as archive:
        return {member.name: member for member in archive.getmembers()}


def names(taken: Snapshot) -> list[str]:
    """Return the paths of the packed files below the top directory."""
    return sorted(name.partition("/")[2] for name in members(taken) if "/" in name)
