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
"""Every request to a workspace as a value; how it is sent is the business of ``client.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.run.outcome.states import Run, parse_run

__all__ = [
    "Me",
    "Submitted",
    "TaskOutput",
    "cancel_run",
    "get_output",
    "get_run",
    "get_status",
    "import_file",
    "me",
    "mkdirs",
    "submit_run",
    "validate_config",
]


@dataclass(frozen=True)
class Me:
    """Who the credentials belong to.

    :param user_name: login name, the last part of the home directory.
    :param workspace_id: id of the workspace; empty when the server does not say.
    """

    user_name: str
    workspace_id: str = ""

    @property
    def home(self) -> str:
        """The user's workspace directory."""
        return f"/Workspace/Users/{self.user_name}"


@dataclass(frozen=True)
class Submitted:
    """The answer to a submission.

    :param run_id: id of the run: a new one, or the one that the same token made before.
    """

    run_id: int


@dataclass(frozen=True)
class TaskOutput:
    """What an attempt says beside its state.

    :param mlflow_experiment_id: empty until the attempt has started.
    :param mlflow_run_id: empty until the attempt has started.
    :param status_message: what the service says while the attempt waits; empty when it says nothing.
    """

    mlflow_experiment_id: str = ""
    mlflow_run_id: str = ""
    status_message: str = ""


def me() -> Call[Me]:
    """``GET /api/2.0/preview/scim/v2/Me``: the user behind the credentials."""

    def read(answer: Answer) -> Me:
        return Me(str(answer.json()["userName"]), answer.headers.get("X-Databricks-Org-Id", ""))

    return Call("GET", "/api/2.0/preview/scim/v2/Me", read)


def mkdirs(path: str) -> Call[None]:
    """``POST /api/2.0/workspace/mkdirs``: a directory and its parents; existing ones are fine."""
    return Call("POST", "/api/2.0/workspace/mkdirs", _nothing, body={"path": path})


def get_status(path: str) -> Call[Mapping[str, Any]]:
    """``GET /api/2.0/workspace/get-status``: what is at a workspace path."""
    return Call("GET", "/api/2.0/workspace/get-status", Answer.json, query={"path": path})


def import_file(path: str, content: Callable[[], BinaryIO], *, timeout: float = 300.0) -> Call[None]:
    """``POST /api/2.0/workspace-files/import-file/{path}``: write a workspace file, over an old one.

    :param path: absolute workspace path.
    :param content: opens the bytes; called again for each try.
    :param timeout: seconds for one try.
    """
    encoded = quote(path.lstrip("/"), safe="")
    return Call(
        "POST",
        f"/api/2.0/workspace-files/import-file/{encoded}",
        _nothing,
        query={"overwrite": "true"},
        content=content,
        timeout=timeout,
    )


def validate_config(body: Mapping[str, Any]) -> Call[Mapping[str, Any]]:
    """``POST /api/2.0/ai-training/config:validate``: the server's check, one try of 5 s."""
    call = Call("POST", "/api/2.0/ai-training/config:validate", Answer.json, body=body)
    return call.once(timeout=5.0)


def submit_run(body: Mapping[str, Any]) -> Call[Submitted]:
    """``POST /api/2.2/jobs/runs/submit``: create the run, or find the one that the same token made.

    Repeatable because, and only if, the body carries an ``idempotency_token``.
    """
    return Call(
        "POST",
        "/api/2.2/jobs/runs/submit",
        lambda answer: Submitted(int(answer.json()["run_id"])),
        body=body,
        repeatable=bool(body.get("idempotency_token")),
        timeout=120.0,
    )


def get_run(run_id: int) -> Call[Run]:
    """``GET /api/2.2/jobs/runs/get``: the state of a run and of its attempts."""
    return Call(
        "GET",
        "/api/2.2/jobs/runs/get",
        lambda answer: parse_run(answer.json()),
        query={"run_id": str(run_id)},
    )


def get_output(task_run_id: int) -> Call[TaskOutput]:
    """``GET /api/2.2/jobs/runs/get-output``: MLflow ids and waiting message of one attempt.

    :param task_run_id: id of the attempt, not of the whole run.
    """

    def read(answer: Answer) -> TaskOutput:
        output = answer.json().get("ai_runtime_task_output") or {}
        return TaskOutput(
            mlflow_experiment_id=str(output.get("mlflow_experiment_id") or ""),
            mlflow_run_id=str(output.get("mlflow_run_id") or ""),
            status_message=str(output.get("status_message") or ""),
        )

    return Call("GET", "/api/2.2/jobs/runs/get-output", read, query={"run_id": str(task_run_id)})


def cancel_run(run_id: int) -> Call[None]:
    """``POST /api/2.2/jobs/runs/cancel``: ask for the end; a run that has ended already stays as it is."""
    return Call("POST", "/api/2.2/jobs/runs/cancel", _nothing, body={"run_id": run_id})


def _nothing(_: Answer) -> None:
    return None
