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
"""How a browser gets in: keys that work once, and the cookie that they leave."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from databricks_air_local.http.refusals import Refusal, malformed
from databricks_air_local.state.tokens import basic_password

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databricks_air_local.state.seals import Sealer
    from databricks_air_local.state.tokens import Tokens

__all__ = ["Doors"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Doors:
    """Lets people in: with a key, which works once, or with the token as a password.

    On the loopback address, which ``loopback`` says, the server answers to some ``names`` only: a page of somebody
    else, whose name was made to point here, could read ours otherwise.
    """

    def __init__(self, tokens: Tokens, sealer: Sealer) -> None:
        self._tokens = tokens
        self._cookie = sealer.derive("pages")
        self._keys: set[str] = set()
        self.loopback = True
        self.names = set(_LOOPBACK)

    def new_key(self) -> str:
        """Return a key that opens the pages once."""
        key = secrets.token_urlsafe(24)
        self._keys.add(key)
        return key

    def open(self, key: str) -> str | None:
        """Return the cookie that a key or the token opens the pages with from now on; nothing for a wrong one."""
        if key in self._keys:
            self._keys.discard(key)
            return self._cookie
        return self._cookie if hmac.compare_digest(key.encode(), self._tokens.main.encode()) else None

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Check the name that a browser asked for.

        :raises Refusal: 400 when it cannot be read, 403 for a name of somebody else.
        """
        try:
            name = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        except ValueError:
            raise malformed("the Host header cannot be read") from None
        if self.loopback and name not in self.names:
            raise Refusal(403, "PERMISSION_DENIED", "This server answers to the names of this machine only.")

    def is_open(self, headers: Mapping[str, str], cookie: str) -> bool:
        """Return whether a browser was let in before, or brings the token as a password."""
        password = basic_password(headers).encode()
        return hmac.compare_digest(cookie.encode(), self._cookie.encode()) or hmac.compare_digest(
            password, self._tokens.main.encode()
        )
