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
"""Files: one document read from disk, with the documents under ``_bases_`` merged beneath it."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.limits import MAX_BYTES, Budget
from airflow.providers.databricks_air.run.document.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Origin,
    Scalar,
)
from airflow.providers.databricks_air.run.document.reader import read_yaml
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["BASES", "BASES_TEXT", "Composer", "read_file"]

#: The key that names the files to start from, and its documentation.
BASES = "_bases_"
BASES_TEXT = "YAML files to start from, relative to this file; later ones win, this file over all."

_MOST_FILES = 64
_ITSELF = Origin()


def read_file(path: Path, origin: Origin = _ITSELF) -> bytes:
    """Return the content of *path*, one byte over the size limit at most.

    :param origin: the place that names the file, for the error; the file itself when nothing does.
    :raises ConfigError: when it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        why, hint = "does not exist", "Check the path"
    except IsADirectoryError:
        why, hint = "is a directory", "Name a YAML file in it"
    except (OSError, ValueError) as error:
        why, hint = f"cannot be read: {getattr(error, 'strerror', None) or error}", ""
    message = f"the file {path} {why}" if origin.file else f"the file {why}"
    raise ConfigError([FieldError("", message, hint, origin.file or str(path), origin.line)])


class Composer:
    """Reads documents and merges their bases; one for each configuration that is loaded.

    ``mistakes`` collects what is wrong but does not stop the reading; ``incomplete`` says that a base could not
    be read.
    """

    def __init__(self) -> None:
        self.mistakes: list[FieldError] = []
        self.incomplete = False
        self.budget = Budget()
        self._composed: dict[Path, MapNode] = {}

    def file(self, path: Path) -> MapNode:
        """Return the document in *path*, bases merged.

        :raises ConfigError: when it cannot be read.
        """
        return self._file(path, _ITSELF, ())

    def text(self, text: str | bytes, directory: Path) -> MapNode:
        """Return the document in *text*, bases merged; they are relative to *directory*."""
        return self._composed_text(text, None, directory, ())

    def tree(self, node: Node, directory: Path) -> MapNode:
        """Return *node*, bases merged; they are relative to *directory*."""
        return self._merge(_as_mapping(node, None), directory, ())

    def _file(self, path: Path, origin: Origin, chain: tuple[Path, ...]) -> MapNode:
        key = Path(_absolute(path))
        if key in chain:
            shown = " → ".join(str(item) for item in (*chain[chain.index(key) :], key))
            raise ConfigError(
                [FieldError(BASES, f"the files name each other in a circle: {shown}", "", *origin)]
            )
        if len(self._composed) + len(chain) >= _MOST_FILES:
            raise ConfigError([FieldError(BASES, f"more than {_MOST_FILES} files are named", "", *origin)])
        if key not in self._composed:
            self._composed[key] = self._composed_text(
                read_file(path, origin), str(path), path.parent, (*chain, key)
            )
        return self._composed[key]

    def _composed_text(
        self, text: str | bytes, file: str | None, directory: Path, chain: tuple[Path, ...]
    ) -> MapNode:
        node, mistakes = read_yaml(text, file, self.budget)
        self.mistakes.extend(mistakes)
        return self._merge(_as_mapping(node, file, text if file is None else None), directory, chain)

    def _merge(self, node: MapNode, directory: Path, chain: tuple[Path, ...]) -> MapNode:
        entry = node.entries.get(BASES)
        if entry is None:
            return node
        if isinstance(entry.node, Scalar) and entry.node.value is None:
            return node.without(BASES)
        result = MapNode({}, node.origin)
        for name in self._names(entry):
            try:
                base = self._file(directory / name.text, name.origin, chain)
            except ConfigError as error:
                self.mistakes.extend(error.errors)
                self.incomplete = True
            else:
                result = _merged(result, base)
        return _merged(result, node.without(BASES))

    def _names(self, entry: Entry) -> list[Scalar]:
        node = entry.node
        items = node.items if isinstance(node, ListNode) else []
        names = [
            item
            for item in items
            if isinstance(item, Scalar) and isinstance(item.value, str) and "\0" not in item.text
        ]
        if not isinstance(node, ListNode) or len(names) != len(items):
            hint = f"Write {BASES}: [base.yaml]"
            self.mistakes.append(FieldError(BASES, "must be a list of YAML files", hint, *entry.origin))
        return names


def _absolute(path: Path) -> str:
    return str(path.absolute().resolve())


def _as_mapping(node: Node | None, file: str | None, text: str | bytes | None = None) -> MapNode:
    if isinstance(node, MapNode):
        return node
    if node is None:
        return MapNode({}, Origin(file, 1 if file else None))
    hint = "Begin with experiment_name: …"
    if isinstance(text, str) and text.strip().endswith((".yaml", ".yml")):
        hint = f"To read a file, pass pathlib.Path({show(text.strip())})"
    message = "the document must be a mapping of fields"
    raise ConfigError([FieldError("", message, hint, node.origin.file, node.origin.line)])


def _merged(below: MapNode, above: MapNode) -> MapNode:
    """Return both mappings in one; *above* wins, mappings merge, anything else is replaced."""
    entries = dict(below.entries)
    for key, entry in above.entries.items():
        known = entries.get(key)
        if known is not None and isinstance(known.node, MapNode) and isinstance(entry.node, MapNode):
            entries[key] = Entry(entry.key, _merged(known.node, entry.node), entry.origin)
        else:
            entries[key] = entry
    return MapNode(entries, above.origin)
