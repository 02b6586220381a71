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
"""Which directory ``code_source.root_path`` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow.providers.databricks_air.run import ConfigError
from airflow.providers.databricks_air.run.config.parts.code_source import resolve_root

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("root_path", "found"),
    [
        (".", "."),
        ("src", "src"),
        ("./src/../src", "src"),
        ("project_root/src", "src"),
        ("project_root", "."),
        ("$AIR_CODE/src", "src"),
        ("${AIR_CODE}", "."),
        ("~/src", "src"),
        ("~", "."),
    ],
)
def test_root_path_means_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root_path: str, found: str
) -> None:
    """Variables and ~ are expanded; a relative path starts at the base directory."""
    monkeypatch.setenv("AIR_CODE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "src").mkdir()
    assert resolve_root(root_path, tmp_path) == (tmp_path / found).resolve()


@pytest.mark.parametrize(("root_path", "what"), [("gone", "does not exist"), ("file", "is not a directory")])
def test_what_is_no_directory_is_told(tmp_path: Path, root_path: str, what: str) -> None:
    """A path that is no directory is told with what it means."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        resolve_root(root_path, tmp_path)
    (error,) = caught.value.errors
    assert error.path == "code_source.root_path"
    assert error.message == f"'{root_path}' means {tmp_path / root_path}, which {what}"
