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
"""Older forms of a document → today's form, with one line for each that says what to write instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from airflow.providers.databricks_air.run.config.older_names import OlderName, older_names
from airflow.providers.databricks_air.run.config.rules.values import as_text
from airflow.providers.databricks_air.run.document.bases import read_file
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Origin,
    Scalar,
)
from airflow.providers.databricks_air.run.document.paths import FieldPath, path_text
from airflow.providers.databricks_air.run.document.reader import read_yaml
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["Modern", "inline_requirements", "modernise"]

_FLAT = ("root_path", "remote_volume", "include_paths", "git")


@dataclass
class Modern:
    """A document in today's form.

    :param document: today's form.
    :param moved: paths in it that stood elsewhere: new place → place in the source.
    :param deprecations: the older forms that were found.
    :param mistakes: what is wrong with them.
    """

    document: MapNode
    moved: dict[FieldPath, FieldPath] = field(default_factory=dict)
    deprecations: list[FieldError] = field(default_factory=list)
    mistakes: list[FieldError] = field(default_factory=list)

    def source_path(self, path: FieldPath) -> FieldPath:
        """Return where *path* stands in the source."""
        for new, old in self.moved.items():
            if path[: len(new)] == new:
                return (*old, *path[len(new) :])
        return path

    def source_text(self, path: str) -> str:
        """Return where the dotted *path* stands in the source, with dots."""
        return path_text(self.source_path(tuple(path.split("."))))

    def deprecate(self, path: str, hint: str, origin: Origin) -> None:
        """Remember an older form."""
        self.deprecations.append(FieldError(path, "is an older form", hint, *origin))

    def refuse(self, path: str, message: str, hint: str, origin: Origin) -> None:
        """Remember a mistake."""
        self.mistakes.append(FieldError(path, message, hint, *origin))


def modernise(document: MapNode) -> Modern:
    """Return *document* in today's form."""
    modern = Modern(document)
    for parent in ("compute", "environment", "code_source"):
        node = modern.document.get(parent)
        if isinstance(node, MapNode):
            changed = _unwrapped(node, modern) if parent == "code_source" else node
            changed = _renamed(changed, (parent,), modern)
            modern.document = modern.document.with_entry(parent, changed)
    _local_git(modern)
    return modern


def _renamed(node: MapNode, path: FieldPath, modern: Modern) -> MapNode:
    """Return one part with every older name in it that is still read under today's, or gone."""
    for name, row in older_names(".".join(map(str, path))).items():
        entry = node.entries.get(name)
        if row.accepted is None or entry is None or row.target == row.parent:
            continue
        if row.path == row.target:
            if name == "docker_image" and not _is_null(entry.node):
                modern.deprecate(row.path, row.advice, entry.origin)
        elif row.target:
            node = _moved(node, row, entry, modern)
        else:
            node = _dropped(node, row, entry, modern)
    return node


def _moved(node: MapNode, row: OlderName, entry: Entry, modern: Modern) -> MapNode:
    today = row.target.rpartition(".")[2]
    rest = node.without(row.name)
    if _is_null(entry.node):
        return rest
    if node.get(today) is not None:
        modern.refuse(row.path, f"{row.target} and {row.path} say the same", f"Keep {today}", entry.origin)
        return rest
    modern.deprecate(row.path, row.advice, entry.origin)
    modern.moved[row.parent, today] = (row.parent, row.name)
    return rest.with_entry(today, entry.node, entry.origin)


def _dropped(node: MapNode, row: OlderName, entry: Entry, modern: Modern) -> MapNode:
    """Drop what says nothing; tell what says something that is not done any more."""
    assert row.accepted is not None
    path = modern.source_text(row.path)
    if isinstance(entry.node, Scalar) and entry.node.value in (None, *row.accepted["enum"]):
        if entry.node.value is not None:
            modern.deprecate(path, row.advice, entry.origin)
        return node.without(row.name)
    wanted = row.accepted["enum"][0]
    if isinstance(wanted, str):
        modern.refuse(path, f"must be {wanted}, not {show(entry.node)}", row.advice, entry.origin)
        return node.without(row.name)
    return node


def _unwrapped(source: MapNode, modern: Modern) -> MapNode:
    """Return a code source whose fields do not stand below ``snapshot``."""
    wrapped = source.entries.get("snapshot")
    if wrapped is None:
        return source
    row = older_names("code_source")["snapshot"]
    flat = source.without("snapshot")
    if _is_null(wrapped.node):
        return flat
    beside = [name for name in _FLAT if name in flat.entries]
    if not isinstance(wrapped.node, MapNode):
        modern.refuse(row.path, f"must be a mapping, not {show(wrapped.node)}", row.advice, wrapped.origin)
        return flat if beside else flat.with_entry("root_path", Scalar(".", "."))
    if beside:
        names = " and ".join([row.path, *(f"code_source.{name}" for name in beside)])
        hint = "Write all fields directly under code_source"
        modern.refuse(row.path, f"{names} cannot stand together", hint, wrapped.origin)
        return flat
    modern.deprecate(row.path, row.advice, wrapped.origin)
    for name in (*wrapped.node.entries, "root_path"):
        modern.moved["code_source", name] = ("code_source", "snapshot", name)
    return MapNode({**wrapped.node.entries, **flat.entries}, wrapped.node.origin)


def _local_git(modern: Modern) -> None:
    """Drop ``git.remote`` where it says that the local repository is meant."""
    source = modern.document.get("code_source")
    git = source.get("git") if isinstance(source, MapNode) else None
    if isinstance(source, MapNode) and isinstance(git, MapNode):
        changed = source.with_entry("git", _renamed(git, ("code_source", "git"), modern))
        modern.document = modern.document.with_entry("code_source", changed)


def inline_requirements(
    document: MapNode, directory: Path
) -> tuple[MapNode, list[FieldError], list[FieldError]]:
    """Return *document* with a requirements file in the place of its path, what is wrong, what is old.

    :param directory: where a relative path starts.
    """
    environment = document.get("environment")
    entry = environment.entries.get("dependencies") if isinstance(environment, MapNode) else None
    if not isinstance(environment, MapNode) or entry is None or not _is_text(entry.node):
        return document, [], []
    path = "environment.dependencies"
    name = as_text(entry.node).strip()
    if not name.endswith((".yaml", ".yml")):
        hint = f"Write a list: [{name}]" if 0 < len(name) < 80 else "Write a list of pip requirements"
        return (
            document,
            [FieldError(path, f"must be a list of pip requirements, not {show(name)}", hint, *entry.origin)],
            [],
        )
    try:
        content = _requirements(directory / name, entry.origin)
    except ConfigError as error:
        without = document.with_entry("environment", environment.without("dependencies"))
        return without, list(error.errors), []
    mistakes = []
    if "version" in environment.entries and "version" in content:
        hint = f"Keep the version in {name} or in environment.version"
        mistakes.append(
            FieldError("environment.version", f"is given here and in {name}", hint, *entry.origin)
        )
    changed = environment
    for key in ("version", "dependencies"):
        if key in content:
            changed = changed.with_entry(key, content[key].node, content[key].origin)
    old = FieldError(
        path, "is an older form", older_names("environment")["dependencies"].advice, *entry.origin
    )
    return document.with_entry("environment", changed), mistakes, [old]


def _requirements(path: Path, origin: Origin) -> dict[str, Entry]:
    node, mistakes = read_yaml(read_file(path, origin), str(path))
    unknown = sorted(set(node.entries) - {"version", "dependencies"}) if isinstance(node, MapNode) else []
    if not isinstance(node, MapNode) or unknown:
        message = (
            f"unknown field {unknown[0]}" if unknown else "must be a mapping with version and dependencies"
        )
        mistakes.append(FieldError("", message, "Known here: dependencies, version", str(path)))
    lines = node.get("dependencies") if isinstance(node, MapNode) else None
    for item in lines.items if isinstance(lines, ListNode) else []:
        if isinstance(item, Scalar) and item.text.strip().startswith(("-r", "--requirement")):
            message = f"{show(item.text)} names a second file, which the run would not find"
            mistakes.append(FieldError("dependencies", message, "Write its lines here", *item.origin))
    if mistakes:
        raise ConfigError(mistakes)
    assert isinstance(node, MapNode)
    return (
        node.entries
        if lines is not None
        else {**node.entries, "dependencies": Entry("dependencies", ListNode([]), origin)}
    )


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is not None
