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
"""The requests that describe and list runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.databricks_air.api.http.call import Answer, Call

__all__ = [
    "Document",
    "IndexPage",
    "Indexed",
    "RunPage",
    "export_file",
    "get_document",
    "index_page",
    "list_page",
    "mlflow_run_name",
]

_LIST_LIMIT = 25
_INDEX_LIMIT = 100
_EXPORT_TIMEOUT = 30.0

Document = Mapping[str, Any]
"""A run as ``runs/get`` shows it."""


@dataclass(frozen=True)
class RunPage:
    """Some runs of ``runs/list``.

    :param runs: newest first.
    :param next_token: asks for the next page; empty after the last one.
    """

    runs: tuple[Document, ...]
    next_token: str = ""


@dataclass(frozen=True)
class Indexed:
    """A run in the index of the caller's own runs.

    :param run_id: id of the run.
    :param submitted: when it was submitted, as text that orders.
    """

    run_id: int
    submitted: str


@dataclass(frozen=True)
class IndexPage:
    """Some entries of the index, in any order; ``next_token`` is empty after the last page."""

    entries: tuple[Indexed, ...]
    next_token: str = ""


def get_document(run_id: int) -> Call[Document]:
    """``GET /api/2.2/jobs/runs/get``: everything that the service says of a run."""
    return Call("GET", "/api/2.2/jobs/runs/get", Answer.json, query={"run_id": str(run_id)})


def list_page(*, active_only: bool, token: str = "") -> Call[RunPage]:
    """``GET /api/2.2/jobs/runs/list``: one page of everybody's submitted runs, newest first.

    :param active_only: whether to leave out what is over.
    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> RunPage:
        body = answer.json()
        runs = tuple(run for run in body.get("runs") or () if isinstance(run, Mapping))
        return RunPage(runs, str(body.get("next_page_token") or "") if body.get("has_more", True) else "")

    query = {
        "run_type": "SUBMIT_RUN",
        "expand_tasks": "true",
        "limit": str(_LIST_LIMIT),
        "active_only": "true" if active_only else "false",
    }
    return Call(
        "GET", "/api/2.2/jobs/runs/list", read, query={**query, **({"page_token": token} if token else {})}
    )


def index_page(token: str = "") -> Call[IndexPage]:
    """``GET /api/2.0/ai-training/workflows``: one page of the caller's own runs, in any order.

    :param token: continues an earlier page.
    """

    def read(answer: Answer) -> IndexPage:
        body = answer.json()
        rows = [row for row in body.get("training_workflows") or () if row.get("job_run_id")]
        return IndexPage(
            tuple(Indexed(int(row["job_run_id"]), _moment(row.get("submit_time"))) for row in rows),
            str(body.get("next_page_token") or ""),
        )

    query = {"page_size": str(_INDEX_LIMIT), **({"page_token": token} if token else {})}
    return Call("GET", "/api/2.0/ai-training/workflows", read, query=query)


def export_file(path: str) -> Call[str]:
    """``GET /api/2.0/workspace/export``: the text of a workspace file.

    :param path: absolute workspace path.
    """

    def read(answer: Answer) -> str:
        return answer.body.decode("utf-8", "replace")

    query = {"path": path, "direct_download": "true"}
    return Call("GET", "/api/2.0/workspace/export", read, query=query, headers={"Accept": "*/*"}).once(
        _EXPORT_TIMEOUT
    )


def mlflow_run_name(mlflow_run_id: str) -> Call[str]:
    """``GET /api/2.0/mlflow/runs/get``: the name of an MLflow run, empty when it has none."""

    def read(answer: Answer) -> str:
        return str(answer.json()["run"]["info"].get("run_name") or "")

    return Call("GET", "/api/2.0/mlflow/runs/get", read, query={"run_id": mlflow_run_id})


def _moment(value: object) -> str:
    """Read a time: RFC 3339 text, which orders as it is, or seconds and nanoseconds."""
    if isinstance(value, Mapping):
        return f"{int(value.get('seconds') or 0):020}.{int(value.get('nanos') or 0):09}"
    return str(value or "")
