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
"""Asking a workspace, and keeping the form of its answers without what they say of anybody."""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from databricks_air_local.parity.calls import FREE, RUN

if TYPE_CHECKING:
    from databricks_air_local.parity.calls import Call

__all__ = ["Asker", "record", "redacted"]

#: Fields whose words the API chooses, and not a person.
_VOCABULARY = {
    *(
        "error_code",
        "code",
        "type",
        "life_cycle_state",
        "result_state",
        "state",
        "format",
        "run_type",
        "trigger",
    ),
    *("object_type", "status", "run_if"),
}
_WORD = re.compile(r"[A-Z][A-Z0-9_]{2,}")
_ACCELERATOR = re.compile(r"GPU_\d+x[A-Z0-9]+")
_PRIVATE = re.compile(
    r"https?://\S+|[\w.+-]+@[\w.-]+|/(?:Workspace|Users|Volumes|Shared)[^\s),'\"]*"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{16,}|\d{4,}|'[^']*'|`[^`]*`"
)


def redacted(value: Any, name: str = "") -> Any:
    """Return what may be shown of an answer: names of fields, kinds of values, words such as ``RUNNING``.

    Of messages the sentence stays, without names, paths, addresses and numbers.
    """
    if isinstance(value, dict):
        # The sentence of an error tells of what we sent; any other message may tell of somebody's work.
        ours = "error_code" in value or {"path", "code"} <= value.keys()
        return {
            key: redacted(item, "" if key == "message" and not ours else key)
            for key, item in sorted(value.items())
            if key != "details"
        }
    if isinstance(value, list):
        return [redacted(item) for item in value[:1]]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return "<number>"
    if name == "message":
        return _PRIVATE.sub("<...>", value)[:300]
    if _ACCELERATOR.fullmatch(value):
        return "<accelerator>"
    if name in _VOCABULARY and _WORD.fullmatch(value):
        return value
    return "<number as text>" if value.isdigit() else "<text>"


@dataclass
class Asker:
    """Asks one workspace.

    :param url: of the workspace.
    :param token: of who asks; it is sent and never kept.
    """

    url: str
    token: str
    _known: dict[str, str] = field(default_factory=dict)

    def answer(self, call: Call) -> dict[str, Any]:
        """Return status and redacted body of the answer to a call."""
        while True:
            status, body = self._send(call)
            way, values = call.until
            if not way or status != 200 or _at(body, way) in values:
                break
            time.sleep(2)
        for name, way in call.keep.items():
            self._known[name] = str(_at(body, way))
        return {"name": call.name, "status": status, "body": redacted(body)}

    def begin(self) -> None:
        """Name a directory of our own in the home of who asks."""
        _, me = self._send(FREE[0])
        self._known = {
            "home": f"/Users/{_at(me, 'userName')}/.air-parity-{uuid.uuid4().hex[:8]}",
            "token": uuid.uuid4().hex,
        }

    def end(self) -> None:
        """Remove that directory."""
        body = json.dumps({"path": self._known["home"], "recursive": True}).encode()
        self._request("POST", "/api/2.0/workspace/delete", body)

    def _send(self, call: Call) -> tuple[int, Any]:
        body = (
            call.body if isinstance(call.body, bytes) or call.body is None else json.dumps(call.body).encode()
        )
        path = call.path
        for name, value in self._known.items():
            path = path.replace(f"{{{name}}}", quote(value))
            if not isinstance(call.body, bytes) and body is not None:
                body = body.replace(f"{{{name}}}".encode(), value.encode())
        return self._request(call.method, path, body)

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content or b"{}")
        except ValueError:
            return answer.status, "text"


def record(asker: Asker, *, with_run: bool) -> list[dict[str, Any]]:
    """Return the redacted answers of a workspace to all calls.

    :param with_run: submit a run, too, which costs money.
    """
    asker.begin()
    try:
        return [asker.answer(call) for call in (*FREE, *(RUN if with_run else ()))]
    finally:
        asker.end()


def _at(body: Any, way: str) -> Any:
    for step in way.split("."):
        if isinstance(body, list):
            body = body[int(step)] if body else None
        else:
            body = body.get(step) if isinstance(body, dict) else None
    return body
