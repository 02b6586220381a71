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
"""The rules that single values obey, and the words in which a broken rule is told.

A rule is a pydantic validator that raises :func:`mistake`. Values may arrive as plain Python or as a
:class:`~airflow.providers.databricks_air.run.document.nodes.Scalar`, which knows the text as written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.limits import MAX_DEPTH
from airflow.providers.databricks_air.run.document.nodes import Scalar, plain
from airflow.providers.databricks_air.run.document.python_data import from_python, scalar_text
from airflow.providers.databricks_air.run.errors import ConfigError

__all__ = [
    "FreeForm",
    "Image",
    "RunName",
    "SecretMap",
    "Text",
    "TextMap",
    "as_text",
    "forbid",
    "image_reference",
    "matching",
    "mistake",
    "nearest",
    "script",
    "trimmed",
    "whole_number",
]

MISTAKE = "air"
_LONGEST_NAME = 60
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_MAX_COMMAND_LINES = 1000


def mistake(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error of a broken rule: what is wrong and what to write instead."""
    return PydanticCustomError(MISTAKE, "{message}", {"message": message, "hint": hint})


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that *name* most likely means, or None."""
    if len(name) > _LONGEST_NAME:
        return None
    if len(name) > 3 and (longer := [item for item in known if item.startswith(name)]):
        return longer[0]
    folded = {item.lower().replace("-", "_"): item for item in known}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def as_text(value: object) -> str:
    """Return the text of a scalar as its author wrote it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, bool | int | float):
        return scalar_text(value)
    raise mistake("a value is needed" if value is None else f"must be text, not {show(value)}")


def _map_text(value: object) -> str:
    return "" if value is None else as_text(value)


def whole_number(minimum: int) -> Callable[[object], int]:
    """Return a rule: an integer of at least *minimum*; digits in quotes count."""

    def check(value: object) -> int:
        raw = value.value if isinstance(value, Scalar) else value
        if isinstance(raw, str) and _WHOLE.fullmatch(raw):
            raw = int(raw)
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise mistake(f"{show(value)} is not a whole number", f"Write a number of at least {minimum}")
        if raw < minimum:
            raise mistake(f"{show(value)} is less than {minimum}", f"Write a number of at least {minimum}")
        if raw >= 2**31:
            raise mistake(f"{show(value)} is too large", f"Write a number of at most {2**31 - 1}")
        return raw

    return check


def matching(pattern: str, rule: str, limit: int | None = None) -> Callable[[str], str]:
    """Return a rule: text that matches *pattern* as a whole and has at most *limit* characters.

    :param rule: the pattern in words, to follow ``may only hold`` or ``must be``.
    """
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not value.strip():
            raise mistake("must not be empty", rule.capitalize() if not rule[0].isupper() else rule)
        if limit is not None and len(value) > limit:
            raise mistake(f"has {len(value)} characters, the limit is {limit}", "Shorten it")
        if not compiled.fullmatch(value):
            raise mistake(f"{show(value)} {rule}")
        return value

    return check


def trimmed(limit: int | None = None) -> Callable[[str], str]:
    """Return a rule: text that is not blank, stripped, of at most *limit* characters."""

    def check(value: str) -> str:
        value = value.strip()
        if not value:
            raise mistake("must not be empty", "Write a value or remove the key")
        if limit is not None and len(value) > limit:
            raise mistake(f"has {len(value)} characters, the limit is {limit}", "Shorten it")
        return value

    return check


def script(value: str) -> str:
    """Check a command: not blank, at most 1000 lines."""
    if not value.strip():
        raise mistake("must not be empty", "Write the shell script that every node runs")
    lines = value.rstrip("\n").count("\n") + 1
    if lines > _MAX_COMMAND_LINES:
        hint = "Put the script into the code source and call it"
        raise mistake(f"has {lines} lines, the limit is {_MAX_COMMAND_LINES}", hint)
    return value


def image_reference(value: str) -> str:
    """Check the name of an image in Unity Catalog."""
    if not re.fullmatch(r"[^.:\s]+\.[^.:\s]+\.[^.:\s]+:[^:\s]+", value):
        raise mistake(f"{show(value)} is not an image in Unity Catalog", "Write catalog.schema.image:tag")
    return value


def _secret_reference(value: str) -> str:
    scope, slash, key = value.partition("/")
    if not (scope.strip() and slash and key.strip()) or "/" in key:
        # The value is not shown: somebody may have written the secret itself here.
        raise mistake(
            "is not a reference to a secret",
            "Write scope/key, with exactly one slash, never the secret itself",
        )
    return value


def _variable_names(value: Mapping[str, str]) -> Mapping[str, str]:
    for name in value:
        if not name or "=" in name or "\0" in name:
            raise mistake(
                f"{show(name)} cannot be the name of an environment variable", "Use letters, digits and _"
            )
    return value


def _text_keys(value: object) -> object:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def _free_form(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        return {str(key): plain(from_python(_bare(item))) for key, item in value.items()}
    except ConfigError as error:
        raise mistake(error.errors[0].message, error.errors[0].hint) from None


def _bare(value: object, depth: int = 0) -> object:
    """Return *value* with every scalar of a document replaced by its plain value."""
    if depth > MAX_DEPTH:
        raise mistake(f"values are nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Mapping):
        return {key: _bare(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item, depth + 1) for item in value]
    return value


def forbid(names: Sequence[str], why: str, hint: str) -> PydanticCustomError:
    """Return the error of keys that cannot stand together, naming all of them."""
    listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    return mistake(f"{listed} {why}", hint)


Text = Annotated[str, BeforeValidator(as_text)]
_MapText = Annotated[
    str,
    BeforeValidator(_map_text),
    Field(json_schema_extra={"type": ["string", "number", "boolean", "null"]}),
]
TextMap = Annotated[Mapping[str, _MapText], BeforeValidator(_text_keys), AfterValidator(_variable_names)]
_Secret = Annotated[
    Text, AfterValidator(_secret_reference), Field(json_schema_extra={"pattern": "^[^/]+/[^/]+$"})
]
SecretMap = Annotated[Mapping[str, _Secret], BeforeValidator(_text_keys), AfterValidator(_variable_names)]
FreeForm = Annotated[Mapping[str, Any], BeforeValidator(_free_form)]
RunName = Annotated[
    Text,
    AfterValidator(matching(r"[A-Za-z0-9_-]+", "may only hold letters, digits, - and _", 100)),
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$", "maxLength": 100}),
]
Image = Annotated[
    Text,
    AfterValidator(image_reference),
    Field(json_schema_extra={"pattern": r"^[^.:\s]+\.[^.:\s]+\.[^.:\s]+:[^:\s]+$"}),
]
