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
"""The requests that logs, artifacts and metrics are read with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.run.logs.lines import LogRecord, log_records

__all__ = [
    "Entry",
    "Listing",
    "LogPage",
    "MlflowRun",
    "SignedAddress",
    "list_artifacts",
    "list_volume",
    "log_page",
    "log_tail",
    "metric_history",
    "mlflow_run",
    "read_signed",
    "read_volume",
    "sign_artifact",
]

PAGE_SIZE = 1000
READ_TIMEOUT = 60.0


@dataclass(frozen=True)
class LogPage:
    """Some log records.

    :param records: in the order of the answer.
    :param next_token: asks for the next page; empty after the last one.
    """

    records: tuple[LogRecord, ...]
    next_token: str = ""


@dataclass(frozen=True)
class MlflowRun:
    """An MLflow run, as far as a result or a log needs it.

    :param artifact_uri: root of its artifacts.
    :param metrics: newest value by name.
    :param params: text by name.
    """

    artifact_uri: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A file or directory.

    :param path: relative to the artifact root, or absolute in a volume.
    :param is_dir: whether it is a directory.
    :param size: bytes; None when the listing does not say.
    """

    path: str
    is_dir: bool
    size: int | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Listing:
    """Some entries of a directory; ``next_token`` is empty after the last page."""

    entries: tuple[Entry, ...]
    next_token: str = ""


@dataclass(frozen=True)
class SignedAddress:
    """An address that needs no credentials because it carries a signature.

    :param url: the address.
    :param headers: to send with it.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def log_page(run_id: int, node: int, attempt: int, *, since: int = 0, token: str = "") -> Call[LogPage]:
    """``GET /api/2.0/ai-training/workflows/by-run-id/{job_run_id}/logs``: one page of a node's log, oldest first.

    :param run_id: id of the run.
    :param node: rank of the node.
    :param attempt: number of the attempt, counted from 0.
    :param since: epoch seconds of the earliest record; 0 for all that are stored.
    :param token: continues an earlier page.
    """
    query = {"ascending": "true", "page_size": str(PAGE_SIZE)}
    if since > 0:
        query["from"] = str(since)
    if token:
        query["page_token"] = token
    return _log_call(run_id, node, attempt, query)


def log_tail(run_id: int, node: int, attempt: int, count: int) -> Call[LogPage]:
    """The same endpoint: the last records of a node's log, newest first.

    :param run_id: id of the run.
    :param node: rank of the node.
    :param attempt: number of the attempt, counted from 0.
    :param count: how many at most.
    """
    return _log_call(run_id, node, attempt, {"ascending": "false", "page_size": str(count)})


def _log_call(run_id: int, node: int, attempt: int, query: Mapping[str, str]) -> Call[LogPage]:
    which = {"ref.attempt_number": str(attempt), "filter.node_index": str(node)}
    path = f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs"
    return Call("GET", path, _read_page, query={**which, **query})


def mlflow_run(mlflow_run_id: str) -> Call[MlflowRun]:
    """``GET /api/2.0/mlflow/runs/get``: where the artifacts are, and the newest metrics and the params."""

    def read(answer: Answer) -> MlflowRun:
        run = answer.json()["run"]
        data = run.get("data") or {}
        return MlflowRun(
            artifact_uri=str(run["info"].get("artifact_uri") or ""),
            # JSON has no NaN; MLflow sends it, and infinities, as text, which float() reads.
            metrics={str(each["key"]): float(each["value"]) for each in data.get("metrics") or ()},
            params={str(each["key"]): str(each["value"]) for each in data.get("params") or ()},
        )

    return Call("GET", "/api/2.0/mlflow/runs/get", read, query={"run_id": mlflow_run_id})


def metric_history(mlflow_run_id: str, name: str) -> Call[tuple[tuple[int, float], ...]]:
    """``GET /api/2.0/mlflow/metrics/get-history``: the values of a metric by step, 25,000 at most.

    :param mlflow_run_id: id of the MLflow run.
    :param name: of the metric.
    """

    def read(answer: Answer) -> tuple[tuple[int, float], ...]:
        points = answer.json().get("metrics") or ()
        return tuple((int(each.get("step") or 0), float(each["value"])) for each in points)

    query = {"run_id": mlflow_run_id, "metric_key": name, "max_results": "25000"}
    return Call("GET", "/api/2.0/mlflow/metrics/get-history", read, query=query)


def list_artifacts(mlflow_run_id: str, path: str, token: str = "") -> Call[Listing]:
    """``GET /api/2.0/mlflow/artifacts/list``: one page of an artifact directory.

    :param mlflow_run_id: id of the MLflow run.
    :param path: relative to the artifact root.
    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> Listing:
        body = answer.json()
        files = body.get("files") or ()
        return Listing(
            tuple(Entry(str(f["path"]), bool(f.get("is_dir")), _size(f.get("file_size"))) for f in files),
            str(body.get("next_page_token") or ""),
        )

    query = {"run_id": mlflow_run_id, "path": path} | ({"page_token": token} if token else {})
    return Call("GET", "/api/2.0/mlflow/artifacts/list", read, query=query)


def sign_artifact(mlflow_run_id: str, path: str) -> Call[SignedAddress]:
    """``GET /api/2.0/mlflow/artifacts/credentials-for-read``: an address to read one artifact from.

    :param mlflow_run_id: id of the MLflow run.
    :param path: relative to the artifact root; it need not exist.
    """

    def read(answer: Answer) -> SignedAddress:
        info = answer.json()["credential_infos"][0]
        headers = {str(each["name"]): str(each["value"]) for each in info.get("headers") or ()}
        return SignedAddress(str(info["signed_uri"]), headers)

    return Call(
        "GET",
        "/api/2.0/mlflow/artifacts/credentials-for-read",
        read,
        query={"run_id": mlflow_run_id, "path": path},
    )


def read_signed(address: SignedAddress, name: str, offset: int, size: int) -> Call[bytes]:
    """Read a part of an artifact at its signed address.

    :param address: from ``sign_artifact``.
    :param name: for messages.
    :param offset: bytes to leave out.
    :param size: bytes to read at most.
    """
    return Call(
        "GET",
        f"/{name}",
        _part(offset, size),
        url=address.url,
        headers={"Accept": "*/*", **address.headers, **_range(offset, size)},
        timeout=READ_TIMEOUT,
    )


def list_volume(path: str, token: str = "") -> Call[Listing]:
    """``GET /api/2.0/fs/directories/{path}``: one page of a directory in a Unity Catalog volume.

    :param path: absolute, starting with ``/Volumes/``.
    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> Listing:
        body = answer.json()
        files = body.get("contents") or ()
        return Listing(
            tuple(
                Entry(str(f["path"]), bool(f.get("is_directory")), _size(f.get("file_size"))) for f in files
            ),
            str(body.get("next_page_token") or ""),
        )

    return Call(
        "GET", f"/api/2.0/fs/directories{quote(path)}", read, query={"page_token": token} if token else {}
    )


def read_volume(path: str, offset: int, size: int) -> Call[bytes]:
    """``GET /api/2.0/fs/files/{path}``: read a part of a file in a Unity Catalog volume."""
    return Call(
        "GET",
        f"/api/2.0/fs/files{quote(path)}",
        _part(offset, size),
        headers={"Accept": "*/*", **_range(offset, size)},
        timeout=READ_TIMEOUT,
    )


def _read_page(answer: Answer) -> LogPage:
    # One line that is not UTF-8, or holds a raw control character, must not hide the others.
    body: Any = json.loads(answer.body.decode("utf-8", "replace") or "{}", strict=False)
    records = body.get("log_records") or ()
    return LogPage(tuple(log_records(records)), str(body.get("next_page_token") or ""))


def _range(offset: int, size: int) -> dict[str, str]:
    # Compressed bytes have other positions.
    return {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}


def _part(offset: int, size: int) -> Any:
    def read(answer: Answer) -> bytes:
        # 200 instead of 206: the store does not know ranges and has sent everything.
        return answer.body if answer.status == 206 else answer.body[offset : offset + size]

    return read


def _size(value: Any) -> int | None:
    return int(value) if value is not None else None
