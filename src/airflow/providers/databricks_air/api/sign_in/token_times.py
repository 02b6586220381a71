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

"""How long the tokens in the headers of a request are good."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["TokenTimes", "token_times"]

_MARGIN = 40.0
"""Seconds before its end from which a token is not used: Azure Databricks refuses it in the last 30."""
_LONGEST_STALE = 1200.0


@dataclass(frozen=True)
class TokenTimes:
    """Two moments on the monotonic clock.

    :param fresh_until: from then on a new token is to be asked for, beside the work.
    :param good_until: until then the token may be used.
    """

    fresh_until: float = -math.inf
    good_until: float = -math.inf


def token_times(headers: Mapping[str, str]) -> TokenTimes:
    """Return how long headers that have just come are good: until the first of their tokens ends.

    Only a JWT says when it ends; of any other token nothing is known, and it counts as ended.

    :param headers: name and value; ``Bearer`` may stand before a token.
    """
    found = [_times(claims) for claims in _all_claims(headers)]
    now = time.monotonic()
    if not found or "." not in headers.get("Authorization", ""):
        return TokenTimes()
    stale, end = min(found, key=lambda times: times[1])
    return TokenTimes(now + stale, now + end - _MARGIN)


def _times(claims: Mapping[str, float]) -> tuple[float, float]:
    """Return the seconds until a token is stale and until it ends."""
    end = claims["exp"] - time.time()
    # A clock that is slow here makes a token no longer than it is.
    whole = claims["exp"] - claims.get("iat", claims["exp"] - end)
    end = min(end, whole)
    return end - min(whole / 2, _LONGEST_STALE), end


def _all_claims(headers: Mapping[str, str]) -> Iterator[Mapping[str, float]]:
    for value in headers.values():
        parts = value.rpartition(" ")[2].split(".")
        if len(parts) != 3:
            continue
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            yield {name: float(claims[name]) for name in ("exp", "iat") if name in claims} | {
                "exp": float(claims["exp"])
            }
        except (ValueError, KeyError, TypeError):
            continue
