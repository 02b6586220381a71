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
"""The filters and orders of MLflow's searches: ``metrics.loss < 0.5 AND tags.`my tag` LIKE 'a%'``."""

from __future__ import annotations

import fnmatch
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from databricks_air_local.http.refusals import integer, malformed, refuse

__all__ = ["EXPERIMENTS", "RUNS", "Searched", "search"]

Row = Mapping[str, Mapping[str, Any]]
_LARGEST_PAGE = 50_000
_LONGEST_FILTER = 10_000
_KINDS = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
}
_NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "LIKE": lambda text, pattern: bool(_like(pattern).fullmatch(text)),
    "ILIKE": lambda text, pattern: bool(_like(pattern, re.IGNORECASE).fullmatch(text)),
    "IN": lambda text, texts: text in texts,
    "NOT IN": lambda text, texts: text not in texts,
}
_NAME = r"""(?:(?P<kind>\w+)\s*\.\s*)?(?P<key>`[^`]*`|"[^"]*"|[A-Za-z_][\w.]*)"""
_TEXT = r"""'[^']*'|"[^"]*\""""
_CLAUSE = re.compile(
    rf"""\s*{_NAME}\s*(?P<sign><=|>=|!=|=|<|>|\b(?:NOT\s+IN|IN|LIKE|ILIKE)\b)
    \s*(?P<value>{_TEXT}|\(\s*(?:{_TEXT})(?:\s*,\s*(?:{_TEXT}))*\s*\)|[-+.\w]+)\s*(?P<more>\bAND\b|$)""",
    re.IGNORECASE | re.VERBOSE,
)
_ORDER = re.compile(rf"\s*{_NAME}(?:\s+(?P<way>ASC|DESC))?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Searched:
    """What can be searched.

    :param kinds: of names, such as ``metrics``; a bare name is an attribute.
    :param attributes: other names of attributes, by lower-case name; their own name among them.
    :param numbers: the attributes that are numbers.
    """

    kinds: tuple[str, ...]
    attributes: Mapping[str, str]
    numbers: frozenset[str]

    def name(self, match: re.Match[str], where: str) -> tuple[str, str]:
        """Return the kind and the key of what a clause names.

        :raises Refusal: when nothing is called so.
        """
        kind = _KINDS.get((match["kind"] or "attribute").lower(), "")
        key = match["key"].strip('`"')
        if kind not in self.kinds:
            raise refuse(f"{where}: {match['kind']!r} is not one of {', '.join(self.kinds)}")
        if kind == "attributes":
            if key.lower() not in self.attributes:
                known = ", ".join(sorted(set(self.attributes.values())))
                raise refuse(f"{where}: attribute {key[:100]!r} is not one of {known}")
            key = self.attributes[key.lower()]
        return kind, key

    def is_number(self, kind: str, key: str) -> bool:
        """Return whether values of this name are numbers."""
        return kind == "metrics" or (kind == "attributes" and key in self.numbers)


RUNS = Searched(
    ("metrics", "params", "tags", "attributes"),
    {
        **{name: name for name in ("run_id", "run_name", "status", "artifact_uri", "start_time", "end_time")},
        "user_id": "user_id",
        "user": "user_id",
        "run name": "run_name",
        "created": "start_time",
    },
    frozenset({"start_time", "end_time"}),
)
EXPERIMENTS = Searched(
    ("tags", "attributes"),
    {name: name for name in ("experiment_id", "name", "creation_time", "last_update_time")},
    frozenset({"creation_time", "last_update_time"}),
)


def search(
    body: Mapping[str, Any], rows: Sequence[Row], searched: Searched, default: str
) -> tuple[list[int], dict[str, str]]:
    """Return the positions of the rows of a page, and its ``next_page_token``.

    :param body: the request: ``filter``, ``order_by``, ``max_results``, ``page_token``.
    :param rows: for each kind the values by key.
    :param default: the attribute that decides last, the greatest first.
    :raises Refusal: naming what is wrong.
    """
    size = integer(body.get("max_results") or 1000, "max_results")
    if not 1 <= size <= _LARGEST_PAGE:
        raise refuse(f"max_results must be between 1 and {_LARGEST_PAGE}, got {size}")
    start = integer(body.get("page_token") or 0, "page_token")
    if start < 0:
        raise malformed("page_token is not a token of this endpoint")
    clauses = _clauses(body.get("filter") or "", searched)
    found = [position for position, row in enumerate(rows) if all(matches(row) for matches in clauses)]
    found.sort(key=lambda position: rows[position]["attributes"][default], reverse=True)
    for kind, key, descending in reversed(_orders(body.get("order_by") or [], searched)):
        _sort(found, rows, (kind, key), descending)
    more = {"next_page_token": str(start + size)} if len(found) > start + size else {}
    return found[start : start + size], more


def _clauses(text: object, searched: Searched) -> list[Callable[[Row], bool]]:
    if not isinstance(text, str) or len(text) > _LONGEST_FILTER:
        raise malformed(f"filter must be a string of at most {_LONGEST_FILTER} characters")
    clauses: list[Callable[[Row], bool]] = []
    position, more = 0, bool(text.strip())
    while more:
        match = _CLAUSE.match(text, position)
        if match is None:
            raise refuse(
                f"Invalid clause in filter at {text[position : position + 100].strip()!r}: clauses read like "
                "metrics.loss < 0.5, params.model = 'a' or tags.`my tag` LIKE 'a%', joined by AND"
            )
        clauses.append(_clause(match, searched))
        position, more = match.end(), bool(match["more"])
    return clauses


def _clause(match: re.Match[str], searched: Searched) -> Callable[[Row], bool]:
    shown = match[0].strip()[:100]
    kind, key = searched.name(match, f"Filter {shown!r}")
    number = searched.is_number(kind, key)
    sign = " ".join(match["sign"].upper().split())
    compare = (_NUMBERS if number else _TEXTS).get(sign)
    if compare is None or (sign.endswith("IN") and kind != "attributes"):
        known = ", ".join(_NUMBERS if number else list(_TEXTS)[: None if kind == "attributes" else 4])
        raise refuse(f"Filter {shown!r}: {sign} cannot compare {kind}; one of {known} can")
    value = _number(match["value"], shown) if number else _text(match["value"], sign, shown)

    def matches(row: Row) -> bool:
        there = row[kind].get(key)
        return there is not None and compare(there, value)

    return matches


def _number(text: str, shown: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise refuse(f"Filter {shown!r}: {text[:100]} must be a number") from None


def _text(text: str, sign: str, shown: str) -> str | list[str]:
    if sign.endswith("IN") != text.startswith("("):
        raise refuse(f"Filter {shown!r}: IN and NOT IN need a list in parentheses, nothing else does")
    if text.startswith("("):
        return [found[1:-1] for found in re.findall(_TEXT, text)]
    if text[0] not in "'\"":
        raise refuse(f"Filter {shown!r}: the text {text[:100]} must stand in quotes")
    return text[1:-1]


def _like(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return what a pattern of SQL means; a translated file name pattern needs no time for many ``%``."""
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return re.compile(fnmatch.translate("".join(signs.get(sign, sign) for sign in pattern)), flags)


def _orders(items: object, searched: Searched) -> list[tuple[str, str, bool]]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise malformed("order_by must be an array of strings")
    orders = []
    for item in items:
        match = _ORDER.fullmatch(item)
        if match is None:
            raise refuse(
                f"Invalid order_by {item[:100]!r}: it reads like metrics.loss ASC or start_time DESC"
            )
        orders.append(
            (*searched.name(match, f"order_by {item[:100]!r}"), (match["way"] or "").upper() == "DESC")
        )
    return orders


def _sort(found: list[int], rows: Sequence[Row], name: tuple[str, str], descending: bool) -> None:
    """Sort, what equals keeping its order; rows without a value, or with one that is no number, come last."""
    kind, key = name

    def known(position: int) -> bool:
        value = rows[position][kind].get(key)
        return value is not None and not (isinstance(value, float) and math.isnan(value))

    there = sorted(filter(known, found), key=lambda position: rows[position][kind][key], reverse=descending)
    found[:] = there + [position for position in found if not known(position)]
