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

import re
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
from pydantic_core import InitErrorDetails, PydanticCustomError

from airflow.providers.databricks_air.run.config.field_docs import field_docs
from airflow.providers.databricks_air.run.config.rules import MISTAKE, mistake, nearest
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.paths import path_text
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

__all__ = ["REQUIRED", "ConfigModel", "Conflict", "field_errors", "is_set"]

#: A broken rule about several fields: the path of the one to report it at, and the error.
Conflict = tuple[tuple["str | int", ...], PydanticCustomError]

REQUIRED = "is required"

#: Beyond this many mistakes in one place the rest adds nothing, and looking for near names gets slow.
_MOST_ERRORS = 100


class _RaisesConfigError(type(BaseModel)):  # type: ignore[misc]  # the type of pydantic's metaclass is private
    """Turns pydantic's error into ours where a part is built by name; nested parts are not touched."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            found = [
                FieldError(path_text(path), message, hint) for path, message, hint in field_errors(error)
            ]
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

    #: Names that used to be accepted, and what to write instead.
    retired: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields of *data*, which may hold anything."""
        del data
        yield from ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema with the documentation of the fields."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            if name in properties:
                properties[name]["description"] = text
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _everything_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        found: list[InitErrorDetails] = []
        value = None
        try:
            value = handler(data)
        except ValidationError as error:
            found.extend(cls._told(item) for item in error.errors(include_url=False)[:_MOST_ERRORS])
        if isinstance(data, Mapping):
            found.extend({"type": what, "loc": path, "input": None} for path, what in cls.conflicts(data))
        if found:
            raise ValidationError.from_exception_data(cls.__name__, list(_without_echoes(found)))
        return value

    @classmethod
    def _told(cls, error: Any) -> InitErrorDetails:
        if error["type"] == MISTAKE:
            what = PydanticCustomError(MISTAKE, "{message}", error["ctx"])
        elif error["type"] in ("extra_forbidden", "invalid_key", "unexpected_keyword_argument"):
            what = cls._unknown(str(error["loc"][-1]))
        else:
            what = _told_type(error)
        return {"type": what, "loc": _without_marks(error["loc"]), "input": None}

    @classmethod
    def _unknown(cls, name: str) -> PydanticCustomError:
        known = sorted(cls.model_fields)
        if name in cls.retired:
            hint = cls.retired[name]
            meant = next((word for word in re.split(r"[^a-z_]+", hint) if word in known), None)
            return _unknown_key("is not a field any more", hint, meant)
        close = nearest(name, known)
        hint = f"Did you mean {close}?" if close else f"Known here: {', '.join(known)}"
        return _unknown_key("unknown field", hint, close)


def _unknown_key(message: str, hint: str, meant: str | None) -> PydanticCustomError:
    return PydanticCustomError(MISTAKE, "{message}", {"message": message, "hint": hint, "meant": meant})


def _without_echoes(found: list[InitErrorDetails]) -> Iterator[InitErrorDetails]:
    """Drop "is required" where a misspelt key was meant for that field: one mistake, one error."""
    contexts = [(item, getattr(item["type"], "context", None) or {}) for item in found]
    meant = {context["meant"] for _, context in contexts if context.get("meant")}
    for item, context in contexts:
        if context.get("message") != REQUIRED or item.get("loc", ()) not in {(name,) for name in meant}:
            yield item


def _without_marks(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drop pydantic's own marks (``[key]``) from a path."""
    return tuple(part for part in loc if part != "[key]")


_TYPES = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
}


def _told_type(error: Any) -> PydanticCustomError:
    """Return our words for what pydantic found by itself."""
    kind = error["type"]
    if kind == "missing":
        return mistake(REQUIRED)
    if kind in _TYPES:
        if error["input"] is None:
            return mistake(f"must be {_TYPES[kind]}, but is empty", "Write a value or remove the key")
        return mistake(f"must be {_TYPES[kind]}, not {show(error['input'])}")
    return mistake(str(error["msg"]))


def field_errors(error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield path, message and hint of everything in *error*."""
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        yield item["loc"], str(context.get("message", item["msg"])), str(context.get("hint", ""))


def is_set(data: Mapping[str, Any], name: str) -> bool:
    """Return whether *data* says something for *name*."""
    return data.get(name) is not None
