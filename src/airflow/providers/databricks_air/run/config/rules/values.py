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
the check and the JSON Schema are made of the same numbers and patterns; ``sentences.py`` turns what pydantic
reports into our sentences. Values may be plain Python or a
:class:`~airflow.providers.databricks_air.run.document.nodes.Scalar`, which knows the text as written.

Patterns are read by three engines: no look-around, ``[A-Za-z0-9_]`` instead of ``w`` behind a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import core_schema

from airflow.providers.databricks_air.run.config.rules.sentences import LARGEST, mistake, sentence
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import Scalar
from airflow.providers.databricks_air.run.document.python_data import scalar_text

__all__ = [
    "COMMAND",
    "NAME",
    "Image",
    "NotEmpty",
    "OneOf",
    "Refused",
    "RunName",
    "Script",
    "Text",
    "Whole",
    "any_case",
    "as_text",
]

_MAX_COMMAND_LINES = 1000
_DIGITS = r"^\s*[+-]?[0-9]{1,18}\s*$"


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
    most: int = LARGEST

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


COMMAND = Text(blank="Write the shell script that every node runs")
#: What a run, an experiment or an MLflow run may be called.
NAME = Text(
    "^[A-Za-z0-9_-]+$",
    "may only hold letters, digits, - and _",
    blank="May only hold letters, digits, - and _",
    longest=100,
)
_IMAGE = Text(
    r"^[^.:\s]+\.[^.:\s]+\.[^.:\s]+:[^:\s]+$",
    "is not an image in Unity Catalog",
    "Write catalog.schema.image:tag",
    blank="Write catalog.schema.image:tag",
)


RunName = Annotated[str, NAME]
Image = Annotated[str, _IMAGE]
