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
"""The rules of single values: pydantic's own constraints, each with its words.

A rule annotates a type, ``Annotated[str, Text(...)]``. The constraint stands in pydantic's core schema, so that
the check and the JSON Schema are made of the same numbers and patterns; :data:`SENTENCES` turns what pydantic
reports into our sentences. Values may be plain Python or a
:class:`~airflow.providers.databricks_air.run.document.nodes.Scalar`, which knows the text as written.

Patterns are read by three engines: no look-around, ``[A-Za-z0-9_]`` instead of ``w`` behind a backslash.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.limits import MAX_DEPTH
from airflow.providers.databricks_air.run.document.nodes import Scalar, plain
from airflow.providers.databricks_air.run.document.python_data import from_python, scalar_text
from airflow.providers.databricks_air.run.errors import ConfigError

__all__ = [
    "COMMAND",
    "MISTAKE",
    "NAME",
    "REQUIRED",
    "FreeForm",
    "Image",
    "NotEmpty",
    "OneOf",
    "Refused",
    "RunName",
    "Script",
    "SecretMap",
    "Text",
    "TextMap",
    "Whole",
    "any_case",
    "as_text",
    "mistake",
    "nearest",
    "sentence",
]

#: The type of an error that has its words already.
MISTAKE = "air"
REQUIRED = "is required"

_LONGEST_NAME = 60
_LARGEST = 2**31 - 1
_MAX_COMMAND_LINES = 1000
_DIGITS = r"^\s*[+-]?[0-9]{1,18}\s*$"


def mistake(message: str, hint: str = "", **more: Any) -> PydanticCustomError:
    """Return the error of a broken rule.

    :param message: what is wrong.
    :param hint: what to write instead.
    :param more: ``absent=True`` where something is missing rather than wrong; ``meant``, the field that a
        misspelt key was meant for.
    """
    return PydanticCustomError(MISTAKE, "{message}", {"message": message, "hint": hint, **more})


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that *name* most likely means, or None."""
    if len(name) > _LONGEST_NAME:
        return None
    folded = {item.lower().replace("-", "_"): item for item in known}
    name = name.lower().replace("-", "_")
    if len(name) > 3 and (longer := [item for item in folded if item.startswith(name)]):
        return folded[longer[0]]

    def likeness(item: str) -> float:
        # A name that was not typed to its end is like the beginning of the one that was meant.
        return max(difflib.SequenceMatcher(None, name, part).ratio() for part in (item, item[: len(name)]))

    close = difflib.get_close_matches(name, folded)
    return folded[max(close, key=likeness)] if close else None


def as_text(value: object) -> str:
    """Return the text of a scalar as its author wrote it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, bool | int | float):
        return scalar_text(value)
    raise mistake("a value is needed" if value is None else f"must be text, not {show(value)}")


_NOT_BLANK = r"\S"


@dataclass(frozen=True)
class Text:
    """Text; numbers and truth values count as the text that stands in the file.

    :param pattern: what it must match; anything but blanks when not given.
    :param message: what is told otherwise, behind the value.
    :param hint: what to write instead.
    :param blank: what to write instead of nothing.
    :param longest: the most characters, None for any number.
    :param strip: whether blanks around it are dropped.
    :param shown: whether the message may repeat the value; a secret must not be repeated.
    """

    pattern: str | None = _NOT_BLANK
    message: str = ""
    hint: str = ""
    blank: str = "Write a value or remove the key"
    longest: int | None = None
    strip: bool = False
    shown: bool = True

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return pydantic's own constraints, with their words."""
        text = core_schema.str_schema(
            pattern=self.pattern, max_length=self.longest, strip_whitespace=self.strip or None
        )
        return core_schema.no_info_wrap_validator_function(self._check, text)

    def _check(self, value: object, pydantic: Callable[[str], str]) -> str:
        text = as_text(value)
        try:
            return pydantic(text)
        except ValidationError as error:
            (found,) = error.errors(include_url=False)
        if found["type"] != "string_pattern_mismatch":
            raise sentence(found)
        if self.shown and not text.strip():
            raise mistake("must not be empty", self.blank)
        raise mistake(f"{show(text)} {self.message}" if self.shown else self.message, self.hint)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return pydantic's JSON Schema, with the other types whose text may match."""
        return _with_other_scalars(handler(schema))


def _with_other_scalars(schema: dict[str, Any]) -> dict[str, Any]:
    pattern = re.compile(schema.get("pattern", ""))

    def admits(*samples: str) -> bool:
        return all(pattern.search(sample) for sample in samples)

    others: list[dict[str, Any]] = []
    if admits("1.5", "-7"):
        others.append({"type": "number"})
    elif admits("7"):
        others.append({"type": "integer"} if admits("-7") else {"type": "integer", "minimum": 0})
    if admits("true", "false"):
        others.append({"type": "boolean"})
    return {"anyOf": [schema, *others]} if others else schema


@dataclass(frozen=True)
class Refused:
    """What a text must not hold.

    :param pattern: what is looked for.
    :param message: what is told when it is found, behind the value.
    :param hint: what to write instead.
    """

    pattern: str
    message: str
    hint: str = ""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the check behind that of the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema of the type without what is refused."""
        return {"allOf": [handler(schema["schema"]), {"not": {"type": "string", "pattern": self.pattern}}]}

    def _check(self, value: str) -> str:
        if re.search(self.pattern, value):
            raise mistake(f"{show(value)} {self.message}", self.hint)
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number; digits in quotes count.

    :param least: the smallest.
    :param most: the largest.
    """

    least: int
    most: int = _LARGEST

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return pydantic's own constraints behind the change to a number."""
        number = core_schema.int_schema(ge=self.least, le=self.most, strict=True)
        return core_schema.no_info_before_validator_function(self.number, number)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return pydantic's JSON Schema, or digits in quotes."""
        return {"anyOf": [handler(schema), {"type": "string", "pattern": _DIGITS}]}

    def number(self, value: object) -> int:
        """Return the number that is meant, whatever its size."""
        raw = value.value if isinstance(value, Scalar) else value
        if isinstance(raw, str) and re.match(_DIGITS, raw):
            raw = int(raw)
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise mistake(f"{show(value)} is not a whole number", f"Write a number of at least {self.least}")
        return raw


def any_case(text: str) -> str:
    """Return a pattern for *text* in upper and lower case, which all engines read."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)


@dataclass(frozen=True)
class OneOf:
    """One of the names of a ``Literal``.

    :param fold: makes the one spelling of a name in any case; None where case matters.
    :param strip: whether there may be blanks around it.
    """

    fold: Callable[[str], str] | None = None
    strip: bool = True

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return pydantic's own check behind the one spelling."""
        return core_schema.no_info_before_validator_function(self._spelling, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the names, which editors offer, and what stands for them."""
        names = handler(schema)
        if not self.strip:
            return names
        spell = any_case if self.fold else re.escape
        others = "|".join(spell(name) for name in names["enum"])
        return {"anyOf": [names, {"type": "string", "pattern": rf"^\s*({others})\s*$"}]}

    def _spelling(self, value: object) -> str:
        text = as_text(value).strip() if self.strip else as_text(value)
        return self.fold(text) if self.fold else text


@dataclass(frozen=True)
class NotEmpty:
    """At least one item in a list.

    :param hint: what to write otherwise.
    """

    hint: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return pydantic's own constraint, with its words."""
        return core_schema.no_info_wrap_validator_function(self._check, {**handler(source), "min_length": 1})

    def _check(self, value: object, pydantic: Callable[[object], object]) -> object:
        if isinstance(value, list | tuple) and not value:
            raise mistake("must not be an empty list", self.hint)
        return pydantic(value)


class Script:
    """A shell script: not blank, at most 1000 lines."""

    #: All line breaks at the end count as one.
    pattern = rf"^([^\n]*\n){{0,{_MAX_COMMAND_LINES - 1}}}[^\n]*\n*$"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the count of lines behind pydantic's own constraints."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema of the text with the count as a pattern."""
        return {"allOf": [handler(schema["schema"]), {"pattern": self.pattern}]}

    @staticmethod
    def _check(value: str) -> str:
        lines = value.rstrip("\n").count("\n") + 1
        if lines > _MAX_COMMAND_LINES:
            hint = "Put the script into the code source and call it"
            raise mistake(f"has {lines} lines, the limit is {_MAX_COMMAND_LINES}", hint)
        return value


def _too_long(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"has {len(str(value).strip())} characters, the limit is {context['max_length']}", "Shorten it"


def _too_small(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"{show(value)} is less than {context['ge']}", f"Write a number of at least {context['ge']}"


def _too_large(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    what = "too large" if context["le"] == _LARGEST else f"more than {context['le']:,}"
    return f"{show(value)} is {what}", f"Write a number of at most {context['le']}"


def _not_one_of(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    known = re.findall(r"'([^']*)'", context["expected"])
    close = nearest(str(value), known)
    noun = context["field"].replace("_", " ")
    article = "an" if noun[0] in "aeiou" else "a"
    return (
        f"{show(value)} is not {article} {noun}",
        f"Did you mean {close}?" if close else f"One of {', '.join(known)}",
    )


def _of_kind(kind: str) -> Callable[[Any, Mapping[str, Any]], tuple[str, str]]:
    def words(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
        if value is None:
            return f"must be {kind}, but is empty", "Write a value or remove the key"
        return f"must be {kind}, not {show(value)}", ""

    return words


_MAPPING, _LIST = _of_kind("a mapping"), _of_kind("a list")

#: What pydantic reports → message and hint. The context is pydantic's, with the name of the field.
SENTENCES: Mapping[str, Callable[[Any, Mapping[str, Any]], tuple[str, str]]] = {
    "dict_type": _MAPPING,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_large,
    "list_type": _LIST,
    "literal_error": _not_one_of,
    "mapping_type": _MAPPING,
    "missing": lambda *_: (REQUIRED, ""),
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "string_too_long": _too_long,
    "too_long": lambda *_: ("is not supported yet and must be empty", "Remove it"),
    "tuple_type": _LIST,
}


def sentence(error: Mapping[str, Any]) -> PydanticCustomError:
    """Return an error of pydantic in our words.

    :param error: one of ``ValidationError.errors()``.
    """
    if error["type"] == MISTAKE:
        return PydanticCustomError(MISTAKE, "{message}", error["ctx"])
    names = [part for part in error["loc"] if isinstance(part, str)]
    context = {**error.get("ctx", {}), "field": names[-1] if names else "value"}
    words = SENTENCES.get(error["type"])
    message, hint = words(error["input"], context) if words else (str(error["msg"]), "")
    return mistake(message, hint, absent=True) if error["type"] == "missing" else mistake(message, hint)


def _text_keys(value: object) -> object:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def _free_form(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        return {str(key): plain(from_python(_plain_scalars(item))) for key, item in value.items()}
    except ConfigError as error:
        raise mistake(error.errors[0].message, error.errors[0].hint) from None


def _plain_scalars(value: object, depth: int = 0) -> object:
    """Return *value* with every scalar of a document replaced by its plain value."""
    if depth > MAX_DEPTH:
        raise mistake(f"values are nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain_scalars(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_scalars(item, depth + 1) for item in value]
    return value


COMMAND = Text(blank="Write the shell script that every node runs")
#: What a run, an experiment or an MLflow run may be called.
NAME = Text(
    "^[A-Za-z0-9_-]+$",
    "may only hold letters, digits, - and _",
    blank="May only hold letters, digits, - and _",
    longest=100,
)
_VARIABLE = Text(
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "cannot be the name of an environment variable",
    "Use letters, digits and _, not a digit first",
    blank="Use letters, digits and _, not a digit first",
)
_SECRET = Text(
    r"^[^/]*[^/\s][^/]*/[^/]*[^/\s][^/]*$",
    "is not a reference to a secret",
    "Write scope/key, with exactly one slash, never the secret itself",
    # Somebody may have written the secret itself here.
    shown=False,
)
_IMAGE = Text(
    r"^[^.:\s]+\.[^.:\s]+\.[^.:\s]+:[^:\s]+$",
    "is not an image in Unity Catalog",
    "Write catalog.schema.image:tag",
    blank="Write catalog.schema.image:tag",
)


def _null_is_empty(value: object) -> object:
    return "" if value is None else value


class _NullIsEmpty:
    """Lets a variable without a value be the empty text."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_null_is_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean", "null"]}


class _VariableNames:
    """Says in the JSON Schema what the keys of a mapping of variables must be."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "propertyNames": {"pattern": _VARIABLE.pattern}}


RunName = Annotated[str, NAME]
Image = Annotated[str, _IMAGE]
TextMap = Annotated[
    Mapping[Annotated[str, _VARIABLE], Annotated[str, Text(None), _NullIsEmpty()]],
    BeforeValidator(_text_keys),
    _VariableNames(),
]
SecretMap = Annotated[
    Mapping[Annotated[str, _VARIABLE], Annotated[str, _SECRET]], BeforeValidator(_text_keys), _VariableNames()
]
FreeForm = Annotated[Mapping[str, Any], BeforeValidator(_free_form)]
