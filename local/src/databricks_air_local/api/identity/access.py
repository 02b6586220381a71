# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   request://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""Who may ask for what: checked before anything of a request is read, kept or logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from databricks_air_local.http.exchange import Access, endpoint_of

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from databricks_air_local.http.server import Next
    from databricks_air_local.state.seals import Sealer
    from databricks_air_local.state.tokens import Tokens

__all__ = ["admit", "refuse_expired"]


def admit(tokens: Tokens, sealer: Sealer) -> Middleware:
    """Return the middleware that turns strangers away."""

    @web.middleware
    async def check(request: web.Request, handler: Next) -> web.StreamResponse:
        endpoint = endpoint_of(request)
        if endpoint is None and not tokens.known(request.headers):
            raise web.HTTPNotFound
        access = endpoint.access if endpoint else Access.PUBLIC
        if access in {Access.TOKEN, Access.CONTROL}:
            tokens.identify(request.headers)
        elif access is Access.SEALED:
            sealer.check(request.method, request.path)
        return await handler(request)

    return check


def refuse_expired(tokens: Tokens) -> Middleware:
    """Return the middleware that turns expired tokens away: such a request is recorded, and may be spoiled."""

    @web.middleware
    async def check(request: web.Request, handler: Next) -> web.StreamResponse:
        endpoint = endpoint_of(request)
        if endpoint is not None and endpoint.access is Access.TOKEN:
            tokens.check_time(request.headers)
        return await handler(request)

    return check
