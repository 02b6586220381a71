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
from pathlib import Path
from typing import Annotated, ClassVar

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.rules.relations import Apart, AtLeastOne, Relation
from airflow.providers.databricks_air.run.config.rules.values import NotEmpty, Refused, Text
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["CodeSource", "GitRef", "resolve_root"]

_PROJECT_ROOT = "project_root"


_DIRECTORY = Text(
    r"^[^\x00]*[^\s\x00][^\x00]*$",
    "holds a NUL character, which no path can",
    blank="Write the directory to pack, such as . or ./src",
)
_VOLUME = Text(
    "^/Volumes/",
    "is not a path of a volume",
    "Write /Volumes/catalog/schema/volume/…",
    blank="Write /Volumes/catalog/schema/volume/…",
)
_PART = Text(
    r"^\s*[^\s/]",
    "is absolute",
    "Write a path relative to root_path",
    blank="Write a path relative to root_path, or remove the line",
    strip=True,
)
_INSIDE = Refused(r"(^\s*|/)\.\.(/|\s*$)", "leaves root_path", "Write a path without ..")
_BRANCH = Text(r"^[A-Za-z0-9_./-]+$", "is not a branch: it may only hold letters, digits, _ . / and -")
_COMMIT = Text(r"^[^-\s\x00][^\s\x00]*$", "is not a commit: write its hash")


class GitRef(ConfigModel):
    """The state of the repository to pack, instead of the files as they are."""

    branch: Annotated[str, _BRANCH] | None = None
    """The branch to pack, as the local repository knows it. Either this or ``commit``."""

    commit: Annotated[str, _COMMIT] | None = None
    """The commit to pack. Either this or ``branch``."""

    section: ClassVar[str] = "code_source.git"
    relations: ClassVar[tuple[Relation, ...]] = (
        Apart("branch", ("commit",), "Keep one of them", at="commit"),
        AtLeastOne(
            ("branch", "commit"),
            "Write one of them, or remove git to pack the files as they are",
            message="needs a branch or a commit",
        ),
    )


class CodeSource(ConfigModel):
    """The directory that is packed and unpacked on every node before the command."""

    root_path: Annotated[str, _DIRECTORY]
    """The directory to pack. Environment variables and ``~`` are expanded; a relative path starts at the
    directory of this file, and so does one that begins with ``project_root/``."""

    remote_volume: Annotated[str, _VOLUME] | None = None
    """A directory of a volume, ``/Volumes/…``, to keep the packed code in. Your workspace home when unset."""

    include_paths: (
        Annotated[
            tuple[Annotated[str, _PART, _INSIDE], ...],
            NotEmpty("Name the paths to pack, or remove the key to pack everything"),
        ]
        | None
    ) = None
    """What to pack of the directory: paths relative to ``root_path``, none leading out of it.
    Everything when unset."""

    git: GitRef | None = None
    """A branch or a commit to pack instead of the files as they are."""

    section: ClassVar[str] = "code_source"


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
