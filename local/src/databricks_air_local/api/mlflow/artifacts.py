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
"""MLflow artifacts: the log of every node in chunks, and files that a command logged."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from databricks_air_local.http.exchange import Access, Spool, reply, route
from databricks_air_local.http.refusals import malformed, missing, refuse
from databricks_air_local.state.mlflow import on_volume
from databricks_air_local.state.seals import SEALED

if TYPE_CHECKING:
    from databricks_air_local.engine.artifacts import Artifacts
    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.mlflow import Mlflow
    from databricks_air_local.state.seals import Sealer

__all__ = ["ArtifactFiles"]

_ARTIFACTS = "/api/2.0/mlflow/artifacts"
_CREDENTIALS = f"{_ARTIFACTS}/credentials-for-"
_TARGET = SEALED + "{seal}/artifacts/{run_id}/{path:.*}"


class ArtifactFiles:
    """The artifacts of MLflow runs."""

    def __init__(self, mlflow: Mlflow, artifacts: Artifacts, sealer: Sealer, spool: Spool) -> None:
        self._mlflow = mlflow
        self._artifacts = artifacts
        self._sealer = sealer
        self._spool = spool

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route("GET", f"{_ARTIFACTS}/list", self.list),
            route("GET", f"{_CREDENTIALS}read", lambda request: self.sign(request, "GET")),
            route("POST", f"{_CREDENTIALS}read", lambda request: self.sign(request, "GET")),
            route("GET", f"{_CREDENTIALS}write", lambda request: self.sign(request, "PUT")),
            route("POST", f"{_CREDENTIALS}write", lambda request: self.sign(request, "PUT")),
            route("GET", _TARGET, self.read, Access.SEALED),
            route("PUT", _TARGET, self.write, Access.SEALED, self._spool),
        ]

    def list(self, request: Request) -> dict[str, Any]:
        """``GET …/artifacts/list``."""
        info = self._mlflow.run(request.text("run_id"))["info"]
        path = request.text("path", "").strip("/")
        found: dict[str, dict[str, Any]] = {}
        for name, size in self._artifacts.list(info["run_id"]):
            if path and not name.startswith(f"{path}/"):
                continue
            head, _, rest = name[len(path) + 1 if path else 0 :].partition("/")
            child = f"{path}/{head}" if path else head
            found[child] = {"path": child, "is_dir": bool(rest)} | ({} if rest else {"file_size": size})
        return {"root_uri": info["artifact_uri"], "files": [found[name] for name in sorted(found)]}

    def sign(self, request: Request, method: str) -> dict[str, Any]:
        """``GET`` or ``POST …/artifacts/credentials-for-{read,write}``: signs any path, there or not."""
        body = request.json() if request.method == "POST" else {}
        info = self._mlflow.run(body.get("run_id") or request.text("run_id"))["info"]
        if on_volume(info["artifact_uri"]):
            raise refuse("Credential vending is not supported for artifacts in Unity Catalog Volumes")
        paths = body.get("path") or request.query.get("path") or [""]
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise malformed("path must be an array of strings")
        return {"credential_infos": [self._credential(method, info["run_id"], path) for path in paths]}

    def _credential(self, method: str, run_id: str, path: str) -> dict[str, Any]:
        uri = self._sealer.url(method, f"/artifacts/{run_id}/{path.strip('/')}")
        # Of the kinds that MLflow's client knows this one takes a file of any size in one PUT.
        kind = "GCP_SIGNED_URL"
        return {"run_id": run_id, "path": path, "signed_uri": uri, "headers": [], "type": kind}

    def read(self, request: Request) -> web.StreamResponse:
        """``GET`` a signed URL."""
        path = request.file.strip("/")
        found = self._artifacts.read(request.params["run_id"], path)
        if found is None:
            raise missing(f"The specified key does not exist: {path[:300]}")
        return web.FileResponse(found) if isinstance(found, Path) else reply(found)

    def write(self, request: Request) -> web.StreamResponse:
        """``PUT`` a signed URL."""
        self._mlflow.run(request.params["run_id"])
        self._artifacts.write(request.params["run_id"], request.file.strip("/"), request.upload)
        return web.Response(headers={"ETag": uuid.uuid4().hex})
