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
"""The base of every part of a run configuration: frozen, strict about its keys, and plain in its errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from airflow.providers.databricks_air.run.config.field_docs import field_docs
from airflow.providers.databricks_air.run.config.older_names import older_names
from airflow.providers.databricks_air.run.config.rules.relations import Conflict, Relation
from airflow.providers.databricks_air.run.config.rules.sentences import REQUIRED, mistake, nearest, sentence
from airflow.providers.databricks_air.run.document.paths import FieldPath, path_text
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = ["PRESENCE", "ConfigModel", "field_errors"]

#: Where the JSON Schema of a part keeps what only a whole document must obey.
PRESENCE = "x-presence"

#: Beyond this many mistakes in one place the rest adds nothing, and looking for near names gets slow.
_MOST_ERRORS = 100


class _RaisesConfigError(type(BaseModel)):  # type: ignore[misc]  # the type of pydantic's metaclass is private
    """Turns pydantic's error into ours where a part is built by name; nested parts are not touched."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            found = [mistake for _, mistake in field_errors(error)]
        raise ConfigError(found)


if TYPE_CHECKING:
    # The metaclass would hide the constructor's signature from type checkers.
    _Base = BaseModel
else:

    class _Base(BaseModel, metaclass=_RaisesConfigError):
        pass


class ConfigModel(_Base):
    """A part of a run configuration.

    Building one by name raises :class:`~airflow.providers.databricks_air.run.errors.ConfigError` with
    every mistake.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: Where the part stands, with dots; its older names stand there too.
    section: ClassVar[str | None] = None

    #: The rules between its fields.
    relations: ClassVar[tuple[Relation, ...]] = ()

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields of *data* and cannot be said as a relation."""
        del data
        yield from ()

    @classmethod
    def advice(cls, name: str, data: Mapping[str, Any]) -> PydanticCustomError | None:
        """Return better words for a wrong value of the field *name*, or None.

        :param data: the part as it was given.
        """
        del name, data
        return None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema with the documentation of the fields and the rules between them."""
        schema = handler(core_schema)
        part = handler.resolve_ref_schema(schema)
        docs = field_docs(cls)
        for name, own in part.get("properties", {}).items():
            optional = not cls.model_fields[name].is_required()
            part["properties"][name] = {
                **(_or_empty(own) if optional else own),
                "description": docs.get(name, ""),
            }
        always = [rule.schema() for rule in cls.relations if rule.partial]
        presence = [rule.schema() for rule in cls.relations if not rule.partial]
        if required := part.pop("required", None):
            presence.insert(0, {"required": required})
        if always:
            part["allOf"] = always
        part[PRESENCE] = presence
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _everything_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        found: list[InitErrorDetails] = []
        value = None
        if isinstance(data, Mapping):
            # A key whose children are commented out says nothing.
            data = {k: v for k, v in data.items() if v is not None or k not in cls.model_fields}
        try:
            value = handler(data)
        except ValidationError as error:
            items = error.errors(include_url=False)[:_MOST_ERRORS]
            found.extend(
                {"type": cls._words(item, data), "loc": _place(item), "input": None} for item in items
            )
        if isinstance(data, Mapping):
            broken = [conflict for rule in cls.relations for conflict in rule.check(data)]
            found.extend(
                {"type": what, "loc": path, "input": None} for path, what in [*broken, *cls.conflicts(data)]
            )
        if found:
            raise ValidationError.from_exception_data(cls.__name__, list(_without_echoes(found)))
        return value

    @classmethod
    def _words(cls, error: Any, data: Any) -> PydanticCustomError:
        if error["type"] in ("extra_forbidden", "invalid_key", "unexpected_keyword_argument"):
            return cls._unknown(str(error["loc"][-1]))
        better = cls.advice(str(error["loc"][0]), data) if error["type"] == "literal_error" else None
        return better or sentence(error)

    @classmethod
    def _unknown(cls, name: str) -> PydanticCustomError:
        known = sorted(cls.model_fields)
        older = older_names(cls.section).get(name) if cls.section is not None else None
        if older is not None:
            parent, _, meant = older.target.rpartition(".")
            return mistake(
                "is not a field any more", older.advice, meant=meant if parent == older.parent else None
            )
        close = nearest(name, known)
        hint = f"Did you mean {close}?" if close else f"Known here: {', '.join(known)}"
        return mistake("unknown field", hint, meant=close)


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an optional field, which may stand there without a value."""
    alternatives = schema.get("anyOf", [])
    if {"type": "null"} in alternatives:
        return schema
    kept: dict[str, Any] = {key: schema.pop(key) for key in ("default", "title") if key in schema}
    return {"anyOf": [*(alternatives if set(schema) == {"anyOf"} else [schema]), {"type": "null"}], **kept}


def _without_echoes(found: list[InitErrorDetails]) -> Iterator[InitErrorDetails]:
    """Drop "is required" where a misspelt key was meant for that field: one mistake, one error."""
    contexts = [(item, getattr(item["type"], "context", None) or {}) for item in found]
    meant = {(context["meant"],) for _, context in contexts if context.get("meant")}
    for item, context in contexts:
        if context.get("message") != REQUIRED or item.get("loc", ()) not in meant:
            yield item


def _place(error: Any) -> FieldPath:
    """Return the path of an error without pydantic's own mark of a key."""
    return tuple(part for part in error["loc"] if part != "[key]")


def field_errors(error: ValidationError) -> Iterator[tuple[FieldPath, FieldError]]:
    """Yield the path of everything in *error*, and what is told about it."""
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        message, hint = str(context.get("message", item["msg"])), str(context.get("hint", ""))
        absent = bool(context.get("absent"))
        yield item["loc"], FieldError(path_text(item["loc"]), message, hint, absent=absent)
