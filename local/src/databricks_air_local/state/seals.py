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
"""URLs that are their own credentials: each is good for one method, one path and some time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

from databricks_air_local.http.refusals import missing

if TYPE_CHECKING:
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.site import Site
    from databricks_air_local.state.store import Store

__all__ = ["SEALED", "Sealer"]

#: Where sealed paths begin; the seal follows.
SEALED = "/local/sealed/"
_SECONDS = 3600


class Sealer:
    """Makes sealed URLs and checks them; the key never leaves the server and survives it."""

    def __init__(self, store: Store, clock: Clock, site: Site) -> None:
        kept = store.get("meta", "seals")
        if kept is None:
            kept = {"key": secrets.token_hex(32)}
            store.put("meta", "seals", kept)
        self._key = bytes.fromhex(kept["key"])
        self._clock = clock
        self._site = site

    def derive(self, purpose: str) -> str:
        """Return a secret of this server's for a purpose, the same after a restart."""
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()

    def url(self, method: str, path: str) -> str:
        """Return a URL that lets whoever has it do one thing for an hour.

        :param method: the HTTP method it is good for.
        :param path: what lies behind the seal, decoded, with its slash.
        """
        expiry = int(self._clock.now()) + _SECONDS
        return f"{self._site.url}{SEALED}{expiry}-{self._mac(method, path, expiry)}{quote(path)}"

    def check(self, method: str, path: str) -> None:
        """Let a request through or not.

        :param path: the decoded path of the request, its seal in it.
        :raises Refusal: 404 when the seal is not for this method and path, or its time is over.
        """
        seal, _, rest = path.removeprefix(SEALED).partition("/")
        expiry, _, mac = seal.partition("-")
        known = expiry.isascii() and expiry.isdigit() and len(expiry) < 16
        end = int(expiry) if known else 0
        wanted = self._mac(method, f"/{rest}", end)
        good = hmac.compare_digest(mac.encode("utf-8", "replace"), wanted.encode())
        if not good or end <= self._clock.now():
            raise missing("The signature does not match, or the URL has expired")

    def _mac(self, method: str, path: str, expiry: int) -> str:
        text = f"{method}\n{path}\n{expiry}"
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
