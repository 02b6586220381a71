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
"""Who may ask: bearer tokens and when they expire."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from typing import TYPE_CHECKING, Any

from databricks_air_local.http.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.store import Store

__all__ = ["Tokens", "basic_password"]


def basic_password(headers: Mapping[str, str]) -> str:
    """Return the password of basic authentication; empty without."""
    try:
        pair = base64.b64decode(headers.get("Authorization", "").partition(" ")[2], validate=True)
        return pair.decode("ascii").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


class Tokens:
    """The tokens that the server accepts; the main one is kept across restarts.

    :param main: the main token from now on; the kept one when empty.
    """

    def __init__(self, store: Store, clock: Clock, main: str = "") -> None:
        kept = store.get("meta", "tokens")
        if kept is None:
            kept = {"main": f"dapilocal{secrets.token_hex(16)}", "node": f"node{secrets.token_hex(16)}"}
            store.put("meta", "tokens", kept)
        if main and main != kept["main"]:
            kept = {**kept, "main": main}
            store.put("meta", "tokens", kept)
        self.main: str = kept["main"]
        self.node: str = kept["node"]
        self._clock = clock
        self._expiry: dict[str, float] = {self.main: float("inf"), self.node: float("inf")}

    def issue(self, seconds: float) -> str:
        """Return a new token that expires after so many seconds; clients can read that in it (RFC 7519)."""
        now = self._clock.now()
        claims = {"sub": "you@example.com", "iat": int(now), "exp": int(now + seconds)}
        token = f"{_part({'alg': 'none'})}.{_part(claims)}.signed-local{secrets.token_hex(16)}"
        self._expiry[token] = now + seconds
        return token

    def expire(self) -> None:
        """Make every token but those of the nodes expire now."""
        for token in self._expiry:
            if token != self.node:
                self._expiry[token] = 0.0

    def renew(self) -> None:
        """Accept the main token again."""
        self._expiry[self.main] = float("inf")

    def identify(self, headers: Mapping[str, str]) -> None:
        """Let a request through or not; a token that has expired is known still.

        :raises Refusal: 401 without a token, 403 with an unknown one.
        """
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            message = "Credential was not sent or was of an unsupported type for this API."
            raise Refusal(401, "UNAUTHENTICATED", message)
        if token.strip() not in self._expiry:
            raise Refusal(403, "PERMISSION_DENIED", "Invalid access token.")

    def known(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request has a token of this server, expired or not."""
        return headers.get("Authorization", "").partition(" ")[2].strip() in self._expiry

    def check_time(self, headers: Mapping[str, str]) -> None:
        """Let a request with a known token through or not.

        :raises Refusal: 401 when the token has expired.
        """
        token = headers.get("Authorization", "").partition(" ")[2].strip()
        if self._expiry.get(token, 0.0) <= self._clock.now():
            raise Refusal(401, "UNAUTHENTICATED", "Access token has expired.")


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
