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
"""The code of a run: which directory is packed, and from where it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from airflow.providers.databricks_air.run.config.model import ConfigModel, Conflict, is_set
from airflow.providers.databricks_air.run.config.rules import Text, forbid, matching, mistake
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["CodeSource", "GitRef", "resolve_root"]

_PROJECT_ROOT = "project_root"


def _root_path(value: str) -> str:
    if not value.strip():
        raise mistake("must not be empty", "Write the directory to pack, such as . or ./src")
    if "\0" in value:
        raise mistake("holds a NUL character, which no path can")
    return value


def _volume(value: str) -> str:
    if not value.startswith("/Volumes/"):
        raise mistake(f"{show(value)} is not a path of a volume", "Write /Volumes/catalog/schema/volume/…")
    return value


def _include_path(value: str) -> str:
    value = value.strip()
    if not value:
        raise mistake("must not be empty", "Write a path relative to root_path, or remove the line")
    if value.startswith("/"):
        raise mistake(f"{show(value)} is absolute", "Write a path relative to root_path")
    if ".." in value.split("/"):
        raise mistake(f"{show(value)} leaves root_path", "Write a path without ..")
    return value


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise mistake(
            "must not be an empty list", "Name the paths to pack, or remove the key to pack everything"
        )
    return value


_IncludePaths = Annotated[
    tuple[Annotated[Text, AfterValidator(_include_path)], ...],
    AfterValidator(_some),
    Field(json_schema_extra={"minItems": 1}),
]
_Branch = Annotated[
    Text,
    AfterValidator(matching(r"[\w./-]+", "is not a branch: it may only hold letters, digits, _ . / and -")),
]
_Commit = Annotated[Text, AfterValidator(matching(r"[^\s\0-][^\s\0]*", "is not a commit: write its hash"))]


class GitRef(ConfigModel):
    """The state of the repository to pack, instead of the files as they are."""

    branch: _Branch | None = None
    """The branch to pack, as the local repository knows it. Either this or ``commit``."""

    commit: _Commit | None = None
    """The commit to pack. Either this or ``branch``."""

    retired: ClassVar[Mapping[str, str]] = {
        "remote": "The local repository is packed: fetch first, then name the branch or the commit",
    }

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        branch, commit = is_set(data, "branch"), is_set(data, "commit")
        if branch and commit:
            yield ("commit",), forbid(["branch", "commit"], "cannot stand together", "Keep one of them")
        elif not branch and not commit:
            yield (
                (),
                mistake(
                    "needs a branch or a commit",
                    "Write one of them, or remove git to pack the files as they are",
                ),
            )


class CodeSource(ConfigModel):
    """The directory that is packed and unpacked on every node before the command."""

    root_path: Annotated[Text, AfterValidator(_root_path), Field(json_schema_extra={"minLength": 1})]
    """The directory to pack. Environment variables and ``~`` are expanded; a relative path starts at the
    directory of this file, and so does one that begins with ``project_root/``."""

    remote_volume: (
        Annotated[Text, AfterValidator(_volume), Field(json_schema_extra={"pattern": "^/Volumes/"})] | None
    ) = None
    """A directory of a volume, ``/Volumes/…``, to keep the packed code in. Your workspace home when unset."""

    include_paths: _IncludePaths | None = None
    """What to pack of the directory: paths relative to ``root_path``, none leading out of it.
    Everything when unset."""

    git: GitRef | None = None
    """A branch or a commit to pack instead of the files as they are."""

    retired: ClassVar[Mapping[str, str]] = {
        "repo_path": "Write root_path",
        "git_branch": "Write git: {branch: …}",
        "git_commit": "Write git: {commit: …}",
        "allow_uncommitted": "Uncommitted files are packed; write git: {commit: …} to leave them out",
        "no_interpolation": "Remove it; nothing is interpolated",
        "type": "Remove it; every code source is a snapshot",
        "snapshot": "Write its fields directly under code_source",
    }


def resolve_root(root_path: str, base_dir: Path) -> Path:
    """Return the directory that ``code_source.root_path`` means.

    :param root_path: the value as written.
    :param base_dir: the directory of the configuration file, or the one that stands for it.
    :raises ConfigError: when there is no such directory.
    """
    expanded = os.path.expandvars(root_path)
    head, _, rest = expanded.partition("/")
    expanded = (rest or ".") if head == _PROJECT_ROOT else os.path.expanduser(expanded)
    path = Path(os.path.abspath(base_dir / expanded))
    if path.is_dir():
        return path
    kind = "is not a directory" if path.exists() else "does not exist"
    message = f"{show(root_path)} means {path}, which {kind}"
    hint = f"A relative path starts at the directory of the configuration file, {Path(base_dir).absolute()}"
    raise ConfigError([FieldError("code_source.root_path", message, hint)])
