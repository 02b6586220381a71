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
"""What an SDK asks a host before it asks anything else, and tokens for client credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from databricks_air_local.http.exchange import Access, reply, route
from databricks_air_local.state.tokens import basic_password

if TYPE_CHECKING:
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.site import Site
    from databricks_air_local.state.tokens import Tokens

__all__ = ["Oidc"]

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class Oidc:
    """What an SDK asks a host first, and tokens for client credentials."""

    def __init__(self, site: Site, tokens: Tokens, seconds: float) -> None:
        self._site = site
        self._tokens = tokens
        self._seconds = seconds

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("HEAD", "/", self.reachable, Access.PUBLIC),
            route("GET", "/.well-known/databricks-config", self.host_metadata, Access.PUBLIC),
            route(
                "GET",
                "/oidc/.well-known/oauth-authorization-server",
                self.authorization_server,
                Access.PUBLIC,
            ),
            route("POST", "/oidc/v1/token", self.token, Access.PUBLIC),
        ]

    def reachable(self, _request: Request) -> web.StreamResponse:
        """``HEAD /``."""
        return web.Response()

    def host_metadata(self, _request: Request) -> dict[str, Any]:
        """``GET /.well-known/databricks-config``."""
        workspace_id = str(self._site.workspace_id)
        return {"oidc_endpoint": f"{self._site.url}/oidc", "workspace_id": workspace_id, "cloud": "AWS"}

    def authorization_server(self, _request: Request) -> dict[str, Any]:
        """``GET /oidc/.well-known/oauth-authorization-server``."""
        return {
            "issuer": f"{self._site.url}/oidc",
            "authorization_endpoint": f"{self._site.url}/oidc/v1/authorize",
            "token_endpoint": f"{self._site.url}/oidc/v1/token",
        }

    def token(self, request: Request) -> Any:
        """``POST /oidc/v1/token``: any client id, with the server's token as its secret, or as an OIDC token."""
        try:
            form = parse_qs(request.body.decode("utf-8", "replace"), max_num_fields=100)
        except ValueError:
            return _oauth_error(400, "invalid_request", "The form has too many fields")
        last = {name: values[-1] for name, values in form.items()}
        if last.get("grant_type") == _EXCHANGE:
            if last.get("subject_token") != self._tokens.main:
                return _oauth_error(400, "invalid_grant", "The subject token is not valid")
        else:
            secret = last.get("client_secret") or basic_password(request.headers)
            if secret != self._tokens.main or last.get("grant_type") != "client_credentials":
                return _oauth_error(401, "invalid_client", "Client authentication failed")
        seconds = self._seconds
        return {
            "access_token": self._tokens.issue(seconds),
            "token_type": "Bearer",
            "expires_in": int(seconds),
        }


def _oauth_error(status: int, code: str, words: str) -> web.StreamResponse:
    """Return an error in the fields that OAuth gives it, which clients print."""
    return reply({"error": code, "error_description": words}, status)
