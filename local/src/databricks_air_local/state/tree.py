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
"""A namespace of directories and files: the workspace, or the volumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from databricks_air_local.http.refusals import Refusal, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.store import Store

__all__ = ["Entry", "Tree", "parent_of"]

_MAX_PATH = 4096


@dataclass
class Entry:
    """A directory, a file or a notebook.

    :param path: canonical path.
    :param kind: ``DIRECTORY``, ``FILE`` or ``NOTEBOOK``.
    :param object_id: the number that the API shows.
    :param blob: name of the content file.
    :param size: bytes.
    :param created: milliseconds since the epoch.
    :param modified: milliseconds since the epoch.
    :param language: of a notebook.
    """

    path: str
    kind: str
    object_id: int
    blob: str | None = None
    size: int = 0
    created: int = 0
    modified: int = 0
    language: str | None = None


def parent_of(path: str) -> str:
    """Return the directory of a canonical path."""
    return path.rpartition("/")[0] or "/"


class Tree:
    """Directories and files by canonical path.

    A path of a client never becomes a path of this machine: contents lie in files with random names.

    :param store: where entries and contents are kept.
    :param kind: document kind of the entries in the store.
    :param alias: a first segment that is left out (``Workspace``: ``/Workspace/X`` and ``/X`` are one place).
    """

    def __init__(self, store: Store, clock: Clock, kind: str, alias: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._kind = kind
        self._alias = alias
        self._entries: dict[str, Entry] = {"/": Entry("/", "DIRECTORY", 0)}
        self._children: dict[str, set[str]] = {"/": set()}
        for _, document in store.all(kind):
            self._link(Entry(**document))

    def canonical(self, path: object) -> str:
        """Return the one spelling of a path.

        :raises Refusal: when it is not an absolute path, or climbs.
        """
        if not isinstance(path, str) or not path.startswith("/"):
            raise refuse(f"Path ({str(path)[:200]}) must be absolute, beginning with a slash")
        if len(path) > _MAX_PATH:
            raise refuse(f"Path is longer than {_MAX_PATH} characters")
        parts = [part for part in path.split("/") if part]
        if any(part in {".", ".."} or not part.isprintable() for part in parts):
            raise refuse(f"Path ({path[:200]!r}) is not a valid path")
        if self._alias and parts[:1] == [self._alias]:
            parts = parts[1:]
        return "/" + "/".join(parts)

    def find(self, path: object) -> Entry | None:
        """Return what is at a path, or nothing."""
        return self._entries.get(self.canonical(path))

    def get(self, path: object) -> Entry:
        """Return what is at a path.

        :raises Refusal: 404 when nothing is.
        """
        entry = self.find(path)
        if entry is None:
            raise missing(f"Path ({path}) doesn't exist.")
        return entry

    def children(self, path: str) -> list[Entry]:
        """Return the entries right below a canonical path, by name."""
        return [self._entries[child] for child in sorted(self._children.get(path, ()))]

    def blob(self, entry: Entry) -> Path:
        """Return the content file of an entry."""
        return self._store.blobs / str(entry.blob)

    def read(self, path: object) -> bytes:
        """Return a file's content.

        :raises Refusal: when there is no such file.
        """
        entry = self.get(path)
        if entry.blob is None:
            raise refuse(f"Path ({path}) is a directory")
        return self.blob(entry).read_bytes()

    def mkdirs(self, path: object) -> Entry:
        """Make a directory and all above it.

        :raises Refusal: when a file is in the way.
        """
        canonical = self.canonical(path)
        made = self._entries["/"]
        current = ""
        for part in canonical.strip("/").split("/"):
            current = f"{current}/{part}" if part else "/"
            made = self._entries.get(current) or self._save(
                Entry(current, "DIRECTORY", self._store.next_id())
            )
            if made.kind != "DIRECTORY":
                raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Path ({current}) already exists as a file.")
        return made

    def write(self, path: object, content: Path, *, overwrite: bool, language: str | None = None) -> Entry:
        """Put a content file at a path; the tree owns the file from then on.

        :param language: makes it a notebook.
        :raises Refusal: when the parent is missing, or something is there already.
        """
        canonical = self.canonical(path)
        parent = self._entries.get(parent_of(canonical))
        if parent is None or parent.kind != "DIRECTORY":
            raise missing(f"The parent folder ({parent_of(canonical)}) does not exist.")
        old = self._entries.get(canonical)
        if old is not None:
            self._check_overwrite(old, overwrite)
        entry = Entry(
            canonical,
            "NOTEBOOK" if language else "FILE",
            old.object_id if old else self._store.next_id(),
            blob=content.name,
            size=content.stat().st_size,
            created=old.created if old else 0,
            language=language,
        )
        self._save(entry)
        # Only now, so that a server that dies here leaves the one version or the other.
        if old is not None:
            self._store.drop_blob(old.blob)
        return entry

    def append(self, path: str, content: bytes) -> Entry:
        """Add to the end of a file, which is made when it is missing; who reads it meanwhile is not disturbed.

        :param path: canonical path; its directory exists.
        """
        entry = self._entries.get(path)
        if entry is None or entry.blob is None:
            return self.write(path, self._store.write_blob(content), overwrite=True)
        with self.blob(entry).open("r+b") as file:
            file.seek(entry.size)  # what a server that died wrote behind it is written again
            file.write(content)
        entry.size += len(content)
        return self._save(entry)

    def delete(self, path: object) -> None:
        """Remove an entry and all below it.

        :raises Refusal: 404 when nothing is there.
        """
        top = self.get(path)
        for entry in [*self._below(top.path), top]:
            self._store.delete(self._kind, entry.path)
            self._store.drop_blob(entry.blob)
            self._children.pop(entry.path, None)
            self._entries.pop(entry.path, None)
            self._children.get(parent_of(entry.path), set()).discard(entry.path)

    def files(self, path: str) -> Iterator[tuple[str, int]]:
        """Return the files below a canonical path: their paths relative to it, and sizes."""
        found = self.children(path)
        for entry in found:  # grows while it is walked
            found.extend(self.children(entry.path))
            if entry.blob is not None:
                yield entry.path[len(path) + 1 :], entry.size

    def entries(self) -> list[Entry]:
        """Return everything that there is."""
        return list(self._entries.values())

    def blobs(self) -> set[str]:
        """Return the names of all content files in use."""
        return {entry.blob for entry in self._entries.values() if entry.blob}

    def _check_overwrite(self, old: Entry, overwrite: bool) -> None:
        if old.kind == "DIRECTORY":
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Path ({old.path}) already exists as a directory.")
        if not overwrite and old.kind == "NOTEBOOK":
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Path ({old.path}) already exists.")
        if not overwrite:
            raise Refusal(409, "RESOURCE_ALREADY_EXISTS", f"File already exists at ({old.path}).")

    def _below(self, path: str) -> Iterator[Entry]:
        found = self.children(path)
        for entry in found:  # grows while it is walked: parents come before their children
            found.extend(self.children(entry.path))
        return reversed(found)

    def _save(self, entry: Entry) -> Entry:
        now = int(self._clock.now() * 1000)
        entry.created = entry.created or now
        entry.modified = now
        self._store.put(self._kind, entry.path, asdict(entry))
        self._link(entry)
        return entry

    def _link(self, entry: Entry) -> None:
        self._entries[entry.path] = entry
        if entry.path != "/":
            self._children.setdefault(parent_of(entry.path), set()).add(entry.path)
