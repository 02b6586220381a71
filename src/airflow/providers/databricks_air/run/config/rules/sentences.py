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
"""What is told about a broken rule: pydantic's errors in our sentences, and the name that was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from airflow.providers.databricks_air.run.document.display import show

__all__ = ["LARGEST", "MISTAKE", "REQUIRED", "mistake", "nearest", "sentence"]

#: The type of an error that has its words already.
MISTAKE = "air"
REQUIRED = "is required"

#: The largest number that a field takes where nothing else is said.
LARGEST = 2**31 - 1

_LONGEST_NAME = 60


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


def _too_long(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"has {len(str(value).strip())} characters, the limit is {context['max_length']}", "Shorten it"


def _too_small(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"{show(value)} is less than {context['ge']}", f"Write a number of at least {context['ge']}"


def _too_large(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    what = "too large" if context["le"] == LARGEST else f"more than {context['le']:,}"
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
