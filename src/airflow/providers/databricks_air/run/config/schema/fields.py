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
"""The fields of the run configuration by path: what an override may name and what ``explain`` can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from airflow.providers.databricks_air.run.config.field_docs import field_docs
from airflow.providers.databricks_air.run.config.older_names import older_names
from airflow.providers.databricks_air.run.config.rules.sentences import nearest
from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.document.paths import FieldPath, parse_path, path_text
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["SchemaField", "all_fields", "find_field", "named_field", "root"]

_KINDS = {
    "free": "mapping of names of your own",
    "list": "list",
    "mapping": "mapping",
    "number": "whole number",
    "text": "text",
}


@dataclass(frozen=True)
class SchemaField:
    """One field of the run configuration.

    :param path: its place; a list item is ``[]``.
    :param kind: ``mapping``, ``list``, ``free`` (any names below it) or the kind of scalar.
    :param doc: its documentation.
    :param info: what the model knows about it; None for the items of a list and for the whole document.
    """

    path: str
    kind: str
    doc: str = ""
    info: FieldInfo | None = None
    model: type[BaseModel] | None = None
    children: Mapping[str, SchemaField] = field(default_factory=dict)
    item: SchemaField | None = None
    older: Mapping[str, SchemaField] = field(default_factory=dict)

    @property
    def required(self) -> bool:
        """Whether a document must have the field."""
        return self.info is not None and self.info.is_required()

    @property
    def default(self) -> object:
        """The value of the field when a document says nothing; None when there is none worth telling."""
        if (
            self.info is None
            or self.info.default_factory
            or self.info.default in (PydanticUndefined, None, ())
        ):
            return None
        return self.info.default

    @property
    def summary(self) -> str:
        """Kind and presence in a few words: ``whole number, default 3``."""
        needed = (
            "required" if self.required else "optional" if self.default is None else f"default {self.default}"
        )
        return f"{_KINDS[self.kind]}, {needed}"

    @property
    def text(self) -> str:
        """The documentation as one or more paragraphs, each on one line."""
        return "\n\n".join(" ".join(part.split()) for part in self.doc.split("\n\n"))


@cache
def root() -> SchemaField:
    """Return the whole document as a field."""
    return _model_field("", RunConfig, (RunConfig.__doc__ or "").partition("\n\n")[0], None)


def all_fields(start: SchemaField | None = None) -> Iterator[SchemaField]:
    """Yield every field in the order of the reference, parents first."""
    parent = start or root()
    for child in parent.children.values():
        yield child
        yield from all_fields(child.item or child)


def find_field(path: FieldPath) -> tuple[SchemaField, FieldPath]:
    """Return the field at *path* and the path with list positions as numbers.

    :raises ConfigError: when the schema has no such field; the error lists what there is beside it.
    """
    current = root()
    clean: list[str | int] = []
    for position, part in enumerate(path):
        if current.kind == "free":
            return current, (*clean, *path[position:])
        following, key = _step(current, part, path)
        clean.append(key)
        current = following
    return current, tuple(clean)


def named_field(text: str) -> SchemaField:
    """Return the field that a person means.

    Positions in lists may be left out (``permissions.level``), and so may the parts around a field whose name
    no other has (``accelerator_type``).

    :raises ConfigError: when the schema has no such field; the error lists what there is beside it.
    """
    path = parse_path(text)
    try:
        return _walk(path)
    except ConfigError:
        if len(path) > 1:
            raise
        named = [item for item in all_fields() if item.path.rpartition(".")[2] == path[0]]
        if len(named) == 1:
            return named[0]
        names = sorted({item.path.rpartition(".")[2] for item in all_fields()} - set(root().children))
        close = nearest(str(path[0]), names)
        meant = named or [item for item in all_fields() if item.path.rpartition(".")[2] == close]
        if not meant or older_names("").get(str(path[0])) or nearest(str(path[0]), list(root().children)):
            raise
    listed = " or ".join(item.path.replace("[]", "") for item in meant)
    raise ConfigError([FieldError(text, "is not a field of the top level", f"Did you mean {listed}?")])


def _walk(path: FieldPath) -> SchemaField:
    current = root()
    for part in path:
        if isinstance(part, int) or part.isdecimal() or current.kind == "free":
            continue
        current, _ = _step(current.item or current, part, path)
    return current


def _step(current: SchemaField, part: str | int, path: FieldPath) -> tuple[SchemaField, str | int]:
    if current.item is not None:
        if isinstance(part, int) or part.isdecimal():
            return current.item, int(part)
        hint = f"Write {current.path}[0] for the first item"
        raise ConfigError(
            [FieldError(path_text(path), f"{current.path} is a list, {part!r} is not a position", hint)]
        )
    if isinstance(part, str):
        known = {**current.older, **current.children}
        if part in known:
            return known[part], part
    if not current.children:
        message, hint = (
            f"{current.path} holds one value, nothing is below it",
            f"Address {current.path} itself",
        )
        raise ConfigError([FieldError(path_text(path), message, hint)])
    gone = older_names(current.path).get(str(part))
    if gone is not None:
        raise ConfigError([FieldError(path_text(path), "is not a field any more", gone.advice)])
    names = sorted(current.children)
    close = nearest(str(part), names)
    where = current.path or "the document"
    hint = f"{f'Did you mean {close}? ' if close else ''}Known in {where}: {', '.join(names)}"
    raise ConfigError([FieldError(path_text(path), f"{where} has no field {part!r}", hint)])


def _model_field(path: str, model: type[BaseModel], doc: str, info: FieldInfo | None) -> SchemaField:
    docs = field_docs(model)
    children = {
        name: _field(f"{path}.{name}" if path else name, item.annotation, docs.get(name, ""), item)
        for name, item in model.model_fields.items()
    }
    older = {
        name: SchemaField(row.path, "text", f"An older form. {row.advice}.")
        for name, row in older_names(path).items()
        if row.accepted is not None and name not in children
    }
    if "snapshot" in older:
        older["snapshot"] = replace(older["snapshot"], kind="mapping", children={**older, **children})
    return SchemaField(path, "mapping", doc, info, model, children, older=older)


def _field(path: str, annotation: Any, doc: str, info: FieldInfo | None) -> SchemaField:
    kind = _without_marks(annotation)
    origin = get_origin(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _model_field(path, kind, doc, info)
    if origin is tuple:
        return SchemaField(path, "list", doc, info, item=_field(f"{path}[]", get_args(kind)[0], "", None))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return SchemaField(path, "free", doc, info)
    return SchemaField(path, "number" if kind is int else "text", doc, info)


def _without_marks(annotation: Any) -> Any:
    """Return an annotation without ``Annotated`` and ``| None``."""
    if get_origin(annotation) is Annotated:
        return _without_marks(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _without_marks(next(item for item in get_args(annotation) if item is not type(None)))
    return annotation
