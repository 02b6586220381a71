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
"""File, text or mapping → bases → overrides → :class:`RunConfig`, or every mistake at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from airflow.providers.databricks_air.run.config.model import field_errors
from airflow.providers.databricks_air.run.config.parts.code_source import resolve_root
from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.config.schema.fields import find_field
from airflow.providers.databricks_air.run.document.bases import Composer
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.limits import MAX_BYTES
from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Node, Scalar, locate
from airflow.providers.databricks_air.run.document.overrides import OVERRIDE, apply_overrides
from airflow.providers.databricks_air.run.document.paths import path_text
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError
from airflow.providers.databricks_air.run.older.forms import Modern, inline_requirements, modernise

__all__ = ["load_run_config"]


def load_run_config(
    source: Path | str | Mapping[str, Any] | RunConfig,
    *,
    overrides: Mapping[str, Any] | Sequence[str] | None = None,
    base_dir: Path | None = None,
    check_code: bool = False,
) -> RunConfig:
    """Load a run configuration.

    :param source: a file (:class:`~pathlib.Path`), YAML text (``str``), the fields as a mapping, or a
        configuration that is loaded already.
    :param overrides: values to replace, by path: ``{"compute.num_accelerators": 16, "parameters.lr": 0.1}``,
        or ``["compute.num_accelerators=16"]`` with YAML behind the first ``=``. List items are addressed by
        position, ``permissions[0].level``.
    :param base_dir: where relative paths in the configuration start. The directory of the file when None,
        or the working directory when there is no file.
    :param check_code: whether the code must be here now: the directory of ``code_source``, and in it what
        ``include_paths`` names, unless a branch or a commit is packed.
    :raises ConfigError: with every mistake at once, each with its file and line where there is one.
    """
    directory = _directory(source, base_dir)
    composer = Composer()
    document = _read(source, composer, directory)
    document, wrong_overrides = apply_overrides(document, overrides, lambda path: find_field(path)[1])
    mistakes = [*composer.mistakes, *wrong_overrides]
    if not document.entries and not mistakes:
        file = str(source) if isinstance(source, Path) else None
        raise ConfigError([FieldError("", "the document is empty", "Begin with experiment_name: …", file)])
    document, wrong, old = inline_requirements(document, directory)
    modern = modernise(document)
    modern.deprecations.extend(old)
    mistakes += [*wrong, *modern.mistakes]
    config = _validated(document, modern, mistakes)
    if check_code:
        mistakes += _missing_code(document, modern, directory)
    _check_size(document, config, mistakes)
    if composer.incomplete:
        # A base that could not be read may have had what is missing.
        mistakes = [item for item in mistakes if not item.absent]
    if mistakes or config is None:
        raise ConfigError(_ordered(mistakes, str(source) if isinstance(source, Path) else None))
    config._document = document
    config._deprecations = tuple(modern.deprecations)
    config._base_dir = directory
    return config


def _directory(source: object, base_dir: Path | None) -> Path:
    if base_dir is not None:
        return Path(base_dir)
    if isinstance(source, RunConfig):
        return source.base_dir
    return source.parent if isinstance(source, Path) else Path.cwd()


def _read(source: object, composer: Composer, directory: Path) -> MapNode:
    if isinstance(source, Path):
        return composer.file(source)
    if isinstance(source, str | bytes):
        return composer.text(source, directory)
    if isinstance(source, RunConfig):
        return source.document()
    if isinstance(source, Mapping):
        return composer.tree(from_python(source), directory)
    hint = "Pass a pathlib.Path, YAML text, a mapping or a RunConfig"
    raise ConfigError([FieldError("", f"a configuration cannot be read from {show(source)}", hint)])


def _validated(document: MapNode, modern: Modern, mistakes: list[FieldError]) -> RunConfig | None:
    """Return the configuration, or None with *mistakes* grown."""
    try:
        return RunConfig.model_validate(_values(modern.document))
    except ValidationError as error:
        known = {(item.path, item.file) for item in mistakes}
        for path, wrong in field_errors(error):
            place = modern.source_path(path)
            file, line = locate(document, place)
            found = replace(wrong, path=path_text(place), file=file, line=line)
            if (found.path, found.file) not in known:
                mistakes.append(found)
    return None


def _missing_code(document: MapNode, modern: Modern, directory: Path) -> list[FieldError]:
    """Return what the snapshot would miss: the directory, or an entry of ``include_paths``."""
    source = modern.document.get("code_source")
    root_path = source.get("root_path") if isinstance(source, MapNode) else None
    if not isinstance(root_path, Scalar) or not root_path.text.strip() or "\0" in root_path.text:
        return []
    try:
        root = resolve_root(root_path.text, directory)
    except ConfigError as error:
        place = modern.source_path(("code_source", "root_path"))
        origin = locate(document, place)
        return [FieldError(path_text(place), item.message, item.hint, *origin) for item in error.errors]
    assert isinstance(source, MapNode)
    include = source.get("include_paths")
    if not isinstance(include, ListNode) or source.get("git") is not None:
        return []
    missing = []
    for index, item in enumerate(include.items):
        name = item.text.strip() if isinstance(item, Scalar) else ""
        if name and "\0" not in name and not os.path.lexists(root / name.lstrip("/")):
            place = modern.source_path(("code_source", "include_paths", index))
            message, hint = f"{show(name)} does not exist in {root}", "Write a path relative to root_path"
            missing.append(FieldError(path_text(place), message, hint, *locate(document, place)))
    return missing


def _values(node: Node) -> Any:
    """Return a document for the models: scalars that are not text keep their source text."""
    if isinstance(node, MapNode):
        return {entry.key: _values(entry.node) for entry in node.entries.values()}
    if isinstance(node, ListNode):
        return [_values(item) for item in node.items]
    return node.value if node.value is None or isinstance(node.value, str) else node


def _check_size(document: MapNode, config: RunConfig | None, mistakes: list[FieldError]) -> None:
    if config is None or _most_bytes(document, 0) <= MAX_BYTES:
        return
    from airflow.providers.databricks_air.run.document.writer import effective_text

    try:
        effective_text(document)
    except ConfigError as error:
        mistakes.extend(error.errors)


def _most_bytes(node: Node, depth: int) -> int:
    """Return how many bytes a node takes at most when it is written, quicker than writing it."""
    if isinstance(node, MapNode):
        return 4 + sum(
            10 * len(key) + 8 + 4 * depth + _most_bytes(entry.node, depth + 1)
            for key, entry in node.entries.items()
        )
    if isinstance(node, ListNode):
        return 4 + sum(4 + 4 * depth + _most_bytes(item, depth + 1) for item in node.items)
    # A character that cannot be printed takes up to ten, a line its indentation.
    return 10 * len(node.text) + 24 + (4 * depth + 4) * node.text.count("\n")


def _ordered(mistakes: Iterable[FieldError], file: str | None) -> list[FieldError]:
    """Return mistakes in the order of the document: the file itself, its bases, the overrides."""
    return sorted(
        mistakes, key=lambda item: (item.file == OVERRIDE, item.file != file, item.file or "", item.line or 0)
    )
