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

from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Refusal, Reply, malformed
from databricks_air_local.state.tokens import basic_password

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]


def reachable(_ws: Workspace, _request: Request) -> Reply:
    """``HEAD /``."""
    return Reply(200)


def host_metadata(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /.well-known/databricks-config``."""
    workspace_id = str(ws.settings.workspace_id)
    return {"oidc_endpoint": f"{ws.url}/oidc", "workspace_id": workspace_id, "cloud": "AWS"}


def authorization_server(ws: Workspace, _request: Request) -> dict[str, Any]:
    """``GET /oidc/.well-known/oauth-authorization-server``."""
    return {
        "issuer": f"{ws.url}/oidc",
        "authorization_endpoint": f"{ws.url}/oidc/v1/authorize",
        "token_endpoint": f"{ws.url}/oidc/v1/token",
    }


def token(ws: Workspace, request: Request) -> dict[str, Any]:
    """``POST /oidc/v1/token``: any client id, with the server's token as its secret."""
    try:
        form = parse_qs(request.body.decode("utf-8", "replace"), max_num_fields=100)
    except ValueError:
        raise malformed("The form has too many fields") from None
    secret = (form.get("client_secret") or [""])[-1] or basic_password(request.headers)
    if secret != ws.tokens.main or (form.get("grant_type") or [""])[-1] != "client_credentials":
        raise Refusal(401, "invalid_client", "Client authentication failed")
    seconds = ws.settings.token_seconds
    return {"access_token": ws.tokens.issue(seconds), "token_type": "Bearer", "expires_in": int(seconds)}


ROUTES = [
    Route("HEAD", "/", reachable, public=True),
    Route("GET", "/.well-known/databricks-config", host_metadata, public=True),
    Route("GET", "/oidc/.well-known/oauth-authorization-server", authorization_server, public=True),
    Route("POST", "/oidc/v1/token", token, public=True),
]
