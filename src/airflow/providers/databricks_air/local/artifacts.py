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

from airflow.providers.databricks_air.local.router import Route
from airflow.providers.databricks_air.local.submission import node_count
from airflow.providers.databricks_air.local.wire import Reply, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.databricks_air.local.runs import Attempt, Run
    from airflow.providers.databricks_air.local.streams import Stream
    from airflow.providers.databricks_air.local.wire import Request
    from airflow.providers.databricks_air.local.workspace import Workspace

__all__ = ["ROUTES", "chunks", "publish"]

CHUNK_SIZE = 4 * 1024 * 1024


def list_artifacts(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/artifacts/list``."""
    run = ws.mlflow.run(request.text("run_id"))
    path = request.text("path", "").strip("/")
    found: dict[str, dict[str, Any]] = {}
    for name, size in _files(ws, run["info"]["run_id"]):
        if path and not name.startswith(f"{path}/"):
            continue
        head, _, rest = name[len(path) + 1 if path else 0 :].partition("/")
        child = f"{path}/{head}" if path else head
        found[child] = (
            {"path": child, "is_dir": True} if rest else {"path": child, "is_dir": False, "file_size": size}
        )
    return {"root_uri": run["info"]["artifact_uri"], "files": [found[name] for name in sorted(found)]}


def credentials(ws: Workspace, request: Request) -> dict[str, Any]:
    """``GET /api/2.0/mlflow/artifacts/credentials-for-{read,write}``: signs any path, there or not."""
    run = ws.mlflow.run(request.text("run_id"))
    if run["info"]["artifact_uri"].startswith("dbfs:/Volumes/"):
        raise refuse("Credential vending is not supported for artifacts in Unity Catalog Volumes")
    infos = []
    for path in request.query.get("path") or [""]:
        target = f"/local/signed/{ws.tokens.node}/{run['info']['run_id']}/{quote(path.strip('/'))}"
        infos.append(
            {
                "run_id": run["info"]["run_id"],
                "path": path,
                "signed_uri": f"{ws.url}{target}",
                "headers": [],
                "type": "AWS_PRESIGNED_URL",
            }
        )
    return {"credential_infos": infos}


def read_signed(ws: Workspace, request: Request) -> Any:
    """Answer the signed URL of an artifact; it is its own credential."""
    run_id, path = _signed(ws, request)
    text = _chunk_text(ws, run_id, path)
    if text is not None:
        return text.encode()
    entry = ws.artifacts.find(f"/{run_id}/{path}")
    if entry is None or entry.blob is None:
        raise missing(f"The specified key does not exist: {path[:300]}")
    return Reply(200, file=ws.artifacts.blob(entry), headers={"Content-Type": "application/octet-stream"})


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


def _files(ws: Workspace, mlflow_run_id: str) -> Iterator[tuple[str, int]]:
    """Return the artifacts of an MLflow run: paths relative to its root, and sizes."""
    for directory, stream in _log_directories(ws, mlflow_run_id):
        for index, text in enumerate(chunks(stream, ws.clock.now())):
            yield f"{directory}/logs-{index}.chunk.txt", len(text.encode())
    yield from ws.artifacts.files(f"/{mlflow_run_id}")


def _log_directories(ws: Workspace, mlflow_run_id: str) -> Iterator[tuple[str, Stream]]:
    owner = ws.attempt_of(mlflow_run_id)
    if owner is None:
        return
    run, attempt = owner
    for node in range(node_count(run.air)):
        stream = ws.streams.get(run.run_id, attempt.number, node)
        if len(stream):
            yield _directory(ws, attempt, node), stream


def _directory(ws: Workspace, attempt: Attempt, node: int) -> str:
    old = ws.settings.artifact_layout == "old"
    return f"logs/node_{node}" if old else f"logs/attempt_{attempt.number}/node_{node}"


def _chunk_text(ws: Workspace, mlflow_run_id: str, path: str) -> str | None:
    for directory, stream in _log_directories(ws, mlflow_run_id):
        if path.startswith(f"{directory}/"):
            for index, text in enumerate(chunks(stream, ws.clock.now())):
                if path == f"{directory}/logs-{index}.chunk.txt":
                    return text
    return None


def chunks(stream: Stream, now: float) -> Iterator[str]:
    """Return a stream's text in pieces of about 4 MiB, cut between lines."""
    lines: list[str] = []
    size = 0
    for record in stream.select(0, 2**63, ascending=True, start=None, now=now):
        lines.append(record.body)
        size += len(record.body) + 1
        if size >= CHUNK_SIZE:
            yield "\n".join(lines) + "\n"
            lines, size = [], 0
    if lines:
        yield "\n".join(lines) + "\n"


def publish(ws: Workspace, run: Run, attempt: Attempt) -> None:
    """Write the log chunks of an attempt to its Volume, when its experiment keeps artifacts on one."""
    info = ws.mlflow.run(attempt.mlflow_run_id)["info"]
    if not info["artifact_uri"].startswith("dbfs:/Volumes/"):
        return
    root = info["artifact_uri"].removeprefix("dbfs:")
    for node in range(node_count(run.air)):
        directory = f"{root}/{_directory(ws, attempt, node)}"
        for index, text in enumerate(
            chunks(ws.streams.get(run.run_id, attempt.number, node), ws.clock.now())
        ):
            ws.volumes.mkdirs(directory)
            blob = ws.store.write_blob(text.encode())
            ws.volumes.write(f"{directory}/logs-{index}.chunk.txt", blob, overwrite=True)


_ARTIFACTS = "/api/2.0/mlflow/artifacts"
_SIGNED = "/local/signed/{signature}/{run_id}/{path:path}"
ROUTES = [
    Route("GET", f"{_ARTIFACTS}/list", list_artifacts),
    Route("GET", f"{_ARTIFACTS}/credentials-for-read", credentials),
    Route("GET", f"{_ARTIFACTS}/credentials-for-write", credentials),
    Route("GET", _SIGNED, read_signed, public=True),
    Route("PUT", _SIGNED, write_signed, upload=True, public=True),
]
