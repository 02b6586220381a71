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
"""Faults as data: which requests go wrong, when, and how."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from databricks_air_local.http.exchange import reply

__all__ = ["Fault", "Faults"]

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
THEN = ("answer", "status", "reset", "garbage", "cut", "hang", "kill", "stale")


@dataclass
class Fault:
    """A rule that spoils requests.

    :param path: decoded path, with ``*`` as in file names: ``*/jobs/runs/submit``; with the method before it as in
        ``POST */jobs/runs/submit``, if you like. ``pattern`` is another name of it.
    :param method: HTTP method, ``*`` for any.
    :param skip: let so many matching requests through first.
    :param times: spoil so many after that; -1 for all.
    :param after: do the work, then spoil the answer.
    :param then: ``answer`` (only useful with ``delay``), ``status``, ``reset`` (the connection is reset; with
        ``after``
        the answer is lost), ``garbage`` (200 with bytes that are no JSON), ``cut`` (half of the answer),
        ``hang`` (never), ``kill`` (the process that asked is killed, on Linux and on this machine), ``stale`` (what a
        request that was let through before was answered).
    :param delay: seconds to wait before the answer.
    :param status: HTTP status of ``then="status"``.
    :param error_code: ``error_code`` of its body.
    :param message: ``message`` of its body.
    :param headers: its headers, such as ``Retry-After``.
    :param body: its body as text, instead of the usual JSON.
    """

    path: str
    method: str = "*"
    skip: int = 0
    times: int = 1
    after: bool = False
    then: str = "status"
    delay: float = 0.0
    status: int = 503
    error_code: str = "TEMPORARILY_UNAVAILABLE"
    message: str = "The service is temporarily unavailable"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    seen: int = 0
    fired: int = 0

    @classmethod
    def parse(cls, document: object) -> Fault:
        """Return the fault that a document describes.

        :raises ValueError: naming the field, the value and the rule.
        """
        if not isinstance(document, Mapping):
            raise ValueError(f"fault {document!r}: must be a mapping with at least 'path'")
        kinds = {"str": str, "int": int, "float": (int, float), "bool": bool, "dict[str, str]": Mapping}
        known = {item.name: str(item.type) for item in fields(cls) if item.name not in {"seen", "fired"}}
        for name, value in document.items():
            if name not in {*known, "pattern"}:
                raise ValueError(f"fault field {name!r}: not one of {', '.join(known)}")
            kind = kinds.get(known.get(name, "str").removesuffix(" | None"), str)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type]
                raise ValueError(f"fault field {name!r}: {value!r} must be of type {known.get(name, 'str')}")
        document = _whole(document)
        if "path" not in document:
            raise ValueError("fault field 'path': is required, for example '*/jobs/runs/submit'")
        fault = cls(**document)
        fault._check()
        return fault

    def _check(self) -> None:
        if self.then not in THEN:
            raise ValueError(f"fault field 'then': {self.then!r} is not one of {', '.join(THEN)}")
        if not 100 <= self.status <= 599:
            raise ValueError(f"fault field 'status': {self.status} is not an HTTP status")
        given: Mapping[Any, Any] = self.headers
        for name, value in given.items():
            text = str(value)
            good = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            if not good or not isinstance(name, str) or not _HEADER.fullmatch(name) or not text.isprintable():
                raise ValueError(f"fault field 'headers': {name!r}: {value!r} must be a line of text")
        self.headers = {name: str(value) for name, value in self.headers.items()}
        for name, least in (("skip", 0), ("times", -1), ("delay", 0)):
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"fault field {name!r}: {getattr(self, name)} must be {least} or more")

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is one of those it is about."""
        return self.method.upper() in {"*", method} and fnmatchcase(path, self.path)

    def answer(self) -> web.StreamResponse:
        """Return the answer of ``status`` and ``garbage``."""
        if self.then == "garbage":
            return reply(b'<html>\xff\xfe{"run_id": ', headers={"Content-Type": "application/json"})
        if self.body is not None:
            return reply(self.body.encode(), self.status, {"Content-Type": "text/plain", **self.headers})
        return reply({"error_code": self.error_code, "message": self.message}, self.status, self.headers)


def _whole(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a path and a method of its own, where the one was written before the other."""
    whole = dict(document)
    pattern = whole.pop("pattern", None) or whole.get("path")
    if pattern is not None:
        method, space, path = pattern.partition(" ")
        whole.update({"method": method, "path": path} if space else {"path": pattern})
    return whole


class Faults:
    """The rules in force; the first that matches and is not used up fires."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._answers: dict[str, tuple[bytes, int, str]] = {}

    def add(self, fault: Fault) -> None:
        """Add a rule after those that are there."""
        self._rules.append(fault)

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()
        self._answers.clear()

    def remember(self, method: str, path: str, target: str, response: web.StreamResponse) -> None:
        """Keep an answer that a stale read may give again.

        :param target: path and query, as they were sent.
        """
        if (
            isinstance(response, web.Response)
            and isinstance(response.body, bytes)
            and any(rule.then == "stale" and rule.matches(method, path) for rule in self._rules)
        ):
            self._answers[target] = (response.body, response.status, response.content_type)

    def stale(self, target: str) -> web.StreamResponse | None:
        """Return what was answered to the same request before; nothing when none was let through."""
        if target not in self._answers:
            return None
        body, status, kind = self._answers[target]
        return reply(body, status, {"Content-Type": kind})

    def show(self) -> list[dict[str, Any]]:
        """Return the rules with how often each was seen and fired."""
        return [asdict(rule) for rule in self._rules]

    def find(self, method: str, path: str) -> Fault | None:
        """Return the rule that spoils this request, and count it."""
        for rule in self._rules:
            if not rule.matches(method, path) or rule.fired == rule.times:
                continue
            rule.seen += 1
            if rule.seen > rule.skip:
                rule.fired += 1
                return rule
        return None
