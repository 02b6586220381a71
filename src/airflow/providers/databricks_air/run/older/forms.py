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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow.providers.databricks_air.run.config.rules import as_text, forbid
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
from airflow.providers.databricks_air.run.document.paths import FieldPath
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

    def deprecate(self, path: str, hint: str, origin: Origin) -> None:
        """Remember an older form."""
        self.deprecations.append(FieldError(path, "is an older form", hint, *origin))

    def refuse(self, path: str, message: str, hint: str, origin: Origin) -> None:
        """Remember a mistake."""
        self.mistakes.append(FieldError(path, message, hint, *origin))


def modernise(document: MapNode) -> Modern:
    """Return *document* in today's form."""
    modern = Modern(document)
    for name, change in (("compute", _pool), ("code_source", _code_source), ("environment", _docker_image)):
        node = modern.document.get(name)
        if isinstance(node, MapNode):
            modern.document = _with(modern.document, name, change(node, modern))
    return modern


def _pool(compute: MapNode, modern: Modern) -> MapNode:
    old = compute.entries.get("provisioned_capacity_id")
    if old is None:
        return compute
    path = "compute.provisioned_capacity_id"
    if "pool_id" in compute.entries:
        names = ["compute.pool_id", path]
        modern.refuse(path, *_words(names, "say the same", "Keep pool_id"), old.origin)
        return _without(compute, ["provisioned_capacity_id"])
    modern.deprecate(path, "Write compute.pool_id", old.origin)
    modern.moved["compute", "pool_id"] = ("compute", "provisioned_capacity_id")
    return _with(_without(compute, ["provisioned_capacity_id"]), "pool_id", old.node, old.origin)


def _docker_image(environment: MapNode, modern: Modern) -> MapNode:
    entry = environment.entries.get("docker_image")
    if entry is not None and not _is_null(entry.node):
        modern.deprecate("environment.docker_image", "Write environment.unity_catalog_image", entry.origin)
    return environment


def _code_source(source: MapNode, modern: Modern) -> MapNode:
    _check_type(source.entries.get("type"), modern)
    flat = _without(source, ["type"])
    wrapped = flat.entries.get("snapshot")
    if wrapped is None:
        return _local_git(flat, ("code_source",), modern)
    flat = _without(flat, ["snapshot"])
    beside = [name for name in _FLAT if name in flat.entries]
    if not isinstance(wrapped.node, MapNode):
        message = f"must be a mapping, not {_shown(wrapped.node)}"
        modern.refuse(
            "code_source.snapshot", message, "Write its fields directly under code_source", wrapped.origin
        )
        return flat if beside else _with(flat, "root_path", Scalar(".", "."))
    if beside:
        names = ["code_source.snapshot", *(f"code_source.{name}" for name in beside)]
        words = _words(names, "cannot stand together", "Write all fields directly under code_source")
        modern.refuse("code_source.snapshot", *words, wrapped.origin)
        return _local_git(flat, ("code_source",), modern)
    modern.deprecate("code_source.snapshot", "Write its fields directly under code_source", wrapped.origin)
    for name in wrapped.node.entries:
        modern.moved["code_source", name] = ("code_source", "snapshot", name)
    modern.moved["code_source", "root_path"] = ("code_source", "snapshot", "root_path")
    inner = MapNode({**wrapped.node.entries, **flat.entries}, wrapped.node.origin)
    return _local_git(inner, ("code_source", "snapshot"), modern)


def _check_type(entry: Entry | None, modern: Modern) -> None:
    if entry is None:
        return
    if isinstance(entry.node, Scalar) and entry.node.text == "snapshot":
        modern.deprecate("code_source.type", "Remove it; every code source is a snapshot", entry.origin)
    else:
        message = f"must be snapshot, not {_shown(entry.node)}"
        modern.refuse("code_source.type", message, "Remove it; every code source is a snapshot", entry.origin)


def _local_git(source: MapNode, path: FieldPath, modern: Modern) -> MapNode:
    """Drop ``git.remote`` where it says that the local repository is meant."""
    git = source.get("git")
    remote = git.entries.get("remote") if isinstance(git, MapNode) else None
    if not isinstance(git, MapNode) or remote is None or not isinstance(remote.node, Scalar):
        return source
    if remote.node.value is False or remote.node.value == "":
        modern.deprecate(
            ".".join(map(str, (*path, "git", "remote"))),
            "Remove it; the local repository is packed",
            remote.origin,
        )
        return _with(source, "git", _without(git, ["remote"]))
    return source


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
        without = _with(document, "environment", _without(environment, ["dependencies"]))
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
            changed = _with(changed, key, content[key].node, content[key].origin)
    old = FieldError(path, "is an older form", "Write the lines of the file as a list", *entry.origin)
    return _with(document, "environment", changed), mistakes, [old]


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


def _with(node: MapNode, key: str, value: Node, origin: Origin | None = None) -> MapNode:
    known = node.entries.get(key)
    place = origin or (known.origin if known else value.origin)
    return MapNode({**node.entries, key: Entry(key, value, place)}, node.origin)


def _without(node: MapNode, names: Iterable[str]) -> MapNode:
    left: Mapping[str, Entry] = {key: entry for key, entry in node.entries.items() if key not in names}
    return MapNode(dict(left), node.origin)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is not None


def _shown(node: Node) -> str:
    return show(node) if isinstance(node, Scalar) else "a mapping" if isinstance(node, MapNode) else "a list"


def _words(names: list[str], why: str, hint: str) -> tuple[str, str]:
    context = forbid(names, why, hint).context or {}
    return str(context["message"]), str(context["hint"])
