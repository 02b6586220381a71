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
"""A directory, and a repository in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.run.code.trees import git, write


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory called ``proj``."""
    path = tmp_path / "proj"
    path.mkdir()
    return path


@pytest.fixture
def repo(root: Path) -> Path:
    """A repository with one commit on ``main``: three files and an ignore file."""
    git(root, "init", "-q")
    write(root, train_py="print(1)\n", src__model_py="x = 1\n", research__a_py="a = 1\n")
    (root / ".gitignore").write_text("*.log\ndata/\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root
