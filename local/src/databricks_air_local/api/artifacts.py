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
"""MLflow artifacts: the log chunks of every node, in both layouts, and files that a command logged."""

from __future__ import annotations

import hmac
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from databricks_air_local.api.submission import node_count
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Reply, malformed, missing, refuse
from databricks_air_local.state.mlflow import on_volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks_air_local.engine.streams import Stream
    from databricks_air_local.http.wire import Request
    from databricks_air_local.state.runs import Attempt
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES", "artifact_files", "chunk_name", "log_directory", "read_artifact"]


def list_artifacts(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/artifacts/list``."""
    run = ws.mlflow.run(request.text("run_id"))
    path = request.text("path", "").strip("/")
    found: dict[str, dict[str, Any]] = {}
    for name, size in artifact_files(ws, run["info"]["run_id"]):
        if path and not name.startswith(f"{path}/"):
            continue
        head, _, rest = name[len(path) + 1 if path else 0 :].partition("/")
        child = f"{path}/{head}" if path else head
        found[child] = (
            {"path": child, "is_dir": True} if rest else {"path": child, "is_dir": False, "file_size": size}
        )
    return {"root_uri": run["info"]["artifact_uri"], "files": [found[name] for name in sorted(found)]}


def credentials(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET`` or ``POST /api/2.0/mlflow/artifacts/credentials-for-{read,write}``: signs any path, there or not."""
    body = request.json() if request.method == "POST" else {}
    run = ws.mlflow.run(body.get("run_id") or request.text("run_id"))
    if on_volume(run["info"]["artifact_uri"]):
        raise refuse("Credential vending is not supported for artifacts in Unity Catalog Volumes")
    paths = body.get("path") or request.query.get("path") or [""]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise malformed("Could not parse request object: path must be an array of strings")
    return {"credential_infos": [_credential(ws, run["info"]["run_id"], path) for path in paths]}


def _credential(ws: Workspace, run_id: str, path: str) -> dict[str, Any]:
    target = f"/local/signed/{ws.tokens.node}/{run_id}/{quote(path.strip('/'))}"
    # Of the kinds that MLflow's client knows this one takes a file of any size in one PUT.
    kind = "GCP_SIGNED_URL"
    return {"run_id": run_id, "path": path, "signed_uri": f"{ws.url}{target}", "headers": [], "type": kind}


def read_signed(ws: Workspace, request: Request) -> Any:
    """Answer the signed URL of an artifact; it is its own credential."""
    run_id, path = _signed(ws, request)
    reply = read_artifact(ws, run_id, path)
    if reply is None:
        raise missing(f"The specified key does not exist: {path[:300]}")
    return reply


def write_signed(ws: Workspace, request: Request) -> Reply:
    """Take the content of an artifact at its signed URL."""
    run_id, path = _signed(ws, request)
    assert request.upload is not None
    target = ws.artifacts.canonical(f"/{run_id}/{path}")
    ws.artifacts.mkdirs(target.rpartition("/")[0] or "/")
    ws.artifacts.write(target, request.upload, overwrite=True)
    return Reply(200, headers={"ETag": uuid.uuid4().hex})


def _signed(ws: Workspace, request: Request) -> tuple[str, str]:
    if not hmac.compare_digest(request.params["signature"].encode(), ws.tokens.node.encode()):
        raise missing("The signature does not match")
    run = ws.mlflow.run(request.params["run_id"])
    return str(run["info"]["run_id"]), request.params["path"].strip("/")


def read_artifact(ws: Workspace, mlflow_run_id: str, path: str) -> Reply | None:
    """Return a file of an MLflow run as an answer, wherever it lies; nothing when there is none.

    :param path: relative to the run's artifacts.
    :raises Refusal: when it climbs.
    """
    headers = {"Content-Type": "application/octet-stream"}
    volume = on_volume(ws.mlflow.run(mlflow_run_id)["info"]["artifact_uri"])
    text = None if volume else _chunk(ws, mlflow_run_id, path)
    if text is not None:
        return Reply(200, text, headers)
    tree = ws.volumes if volume else ws.artifacts
    entry = tree.find(f"{volume or f'/{mlflow_run_id}'}/{path}")
    if entry is None or entry.blob is None:
        return None
    return Reply(200, file=tree.blob(entry), headers=headers)


def artifact_files(ws: Workspace, mlflow_run_id: str) -> Iterator[tuple[str, int]]:
    """Return the artifacts of an MLflow run, wherever they lie: paths relative to its root, and sizes."""
    volume = on_volume(ws.mlflow.run(mlflow_run_id)["info"]["artifact_uri"])
    return ws.volumes.files(volume) if volume else _files(ws, mlflow_run_id)


def _files(ws: Workspace, mlflow_run_id: str) -> Iterator[tuple[str, int]]:
    """Return the artifacts of an MLflow run: paths relative to its root, and sizes."""
    for directory, stream in _log_directories(ws, mlflow_run_id):
        for index, size in enumerate(stream.chunk_sizes()):
            yield f"{directory}/{chunk_name(index)}", size
    yield from ws.artifacts.files(f"/{mlflow_run_id}")


def _log_directories(ws: Workspace, mlflow_run_id: str) -> Iterator[tuple[str, Stream]]:
    owner = ws.attempt_of(mlflow_run_id)
    if owner is None:
        return
    run, attempt = owner
    for node in range(node_count(run.air)):
        stream = ws.streams.get(run.run_id, attempt.number, node)
        if len(stream):
            yield log_directory(ws, attempt, node), stream


def log_directory(ws: Workspace, attempt: Attempt, node: int) -> str:
    """Return where the log chunks of a node lie among the artifacts of its attempt."""
    old = ws.settings.artifact_layout == "old"
    return f"logs/node_{node}" if old else f"logs/attempt_{attempt.number}/node_{node}"


def chunk_name(index: int) -> str:
    """Return the file name of a log chunk."""
    return f"logs-{index}.chunk.txt"


def _chunk(ws: Workspace, mlflow_run_id: str, path: str) -> bytes | None:
    parent, _, name = path.rpartition("/")
    for directory, stream in _log_directories(ws, mlflow_run_id):
        for index in range(len(stream.chunk_sizes()) if parent == directory else 0):
            if name == chunk_name(index):
                return stream.chunk(index)
    return None


_ARTIFACTS = "/api/2.0/mlflow/artifacts"
_SIGNED = "/local/signed/{signature}/{run_id}/{path:path}"
ROUTES = [
    Route("GET", f"{_ARTIFACTS}/list", list_artifacts),
    *(
        Route(method, f"{_ARTIFACTS}/credentials-for-{what}", credentials)
        for method in ("GET", "POST")
        for what in ("read", "write")
    ),
    Route("GET", _SIGNED, read_signed, public=True),
    Route("PUT", _SIGNED, write_signed, upload=True, public=True),
]
