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
"""The calls that are compared: those that clients of AI Runtime send, in an order in which each can be answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["FREE", "RUN", "Call"]

_JOBS = "/api/2.2/jobs/runs"
_TRAINING = "/api/2.0/ai-training"
_NOBODY = 999999999999999


@dataclass(frozen=True)
class Call:
    """One request; ``{home}`` and what earlier answers gave are put into path, query and body.

    :param name: what it asks, and what is expected.
    :param keep: a name for a value of the answer, and the way to it, such as ``tasks.0.run_id``.
    :param until: ask again until the value at this way is one of these.
    """

    name: str
    method: str
    path: str
    body: Any = None
    keep: dict[str, str] = field(default_factory=dict)
    until: tuple[str, tuple[str, ...]] = ("", ())


def _missing_run(verb: str, method: str = "GET") -> Call:
    if method == "GET":
        return Call(f"{verb} of an unknown run", method, f"{_JOBS}/{verb}?run_id={_NOBODY}")
    return Call(f"{verb} of an unknown run", method, f"{_JOBS}/{verb}", {"run_id": _NOBODY})


_SUBMIT = {
    "run_name": "air-parity",
    "idempotency_token": "{token}",
    "environments": [{"environment_key": "default", "spec": {"environment_version": "6"}}],
    "tasks": [
        {
            "task_key": "air-parity",
            "environment_key": "default",
            "max_retries": 0,
            "ai_runtime_task": {
                "experiment": "air-parity",
                "deployments": [
                    {
                        "command_path": "{home}/command.sh",
                        "compute": {"accelerator_type": "GPU_1xA10", "accelerator_count": 1},
                    }
                ],
            },
        }
    ],
}
_COUNT = {"accelerator_type": "GPU_8xH100", "accelerator_count": 12}

#: They cost nothing and leave nothing: what they make in the caller's home they remove.
FREE: tuple[Call, ...] = (
    Call("who I am", "GET", "/api/2.0/preview/scim/v2/Me"),
    Call("status of a missing path", "GET", "/api/2.0/workspace/get-status?path={home}/missing"),
    Call(
        "a file without a parent",
        "POST",
        "/api/2.0/workspace-files/import-file{home}/no/file.txt?overwrite=true",
        b"x",
    ),
    Call("a directory", "POST", "/api/2.0/workspace/mkdirs", {"path": "{home}"}),
    Call(
        "a file",
        "POST",
        "/api/2.0/workspace-files/import-file{home}/command.sh?overwrite=true",
        b"echo parity\n",
    ),
    Call(
        "a file that is there",
        "POST",
        "/api/2.0/workspace-files/import-file{home}/command.sh?overwrite=false",
        b"x",
    ),
    Call("status of a file", "GET", "/api/2.0/workspace/get-status?path={home}/command.sh"),
    Call("a listing", "GET", "/api/2.0/workspace/list?path={home}"),
    Call("a directory that is not empty", "POST", "/api/2.0/workspace/delete", {"path": "{home}"}),
    Call("usage policies", "GET", "/api/2.0/serverless-policies?page_size=1"),
    Call("GPU pools", "GET", f"{_TRAINING}/provisioned-capacities?page_size=1"),
    Call("an unknown pool", "GET", f"{_TRAINING}/provisioned-capacities/air-parity-missing"),
    Call("accelerators", "GET", "/api/2.0/ai-compute-manager/compute-options"),
    Call(
        "an unknown image",
        "GET",
        "/api/2.0/ai-compute-manager/images:get?docker_image_url=docker.io/air/parity:0",
    ),
    Call("a check of nothing", "POST", f"{_TRAINING}/config:validate", {"task": {}}),
    Call("a check of an unknown field", "POST", f"{_TRAINING}/config:validate", {"tomorrow": {}}),
    Call(
        "a check of a wrong count",
        "POST",
        f"{_TRAINING}/config:validate",
        {"task": {"deployments": [{"compute": _COUNT}]}},
    ),
    _missing_run("get"),
    _missing_run("get-output"),
    _missing_run("cancel", "POST"),
    Call("logs of an unknown run", "GET", f"{_TRAINING}/workflows/by-run-id/{_NOBODY}/logs"),
    Call("a submission of nothing", "POST", f"{_JOBS}/submit", {"run_name": "air-parity", "tasks": []}),
    Call("the latest run", "GET", f"{_JOBS}/list?limit=1&run_type=SUBMIT_RUN&expand_tasks=true"),
    Call("the index of runs", "GET", f"{_TRAINING}/workflows?page_size=1"),
    Call(
        "an unknown experiment",
        "GET",
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name={home}/missing",
    ),
    Call("an unknown MLflow run", "GET", "/api/2.0/mlflow/runs/get?run_id=00000000000000000000000000000000"),
    Call("an unknown volume", "GET", "/api/2.0/fs/directories/Volumes/air_parity/missing/volume"),
)

#: One run on one GPU for some seconds, which costs money.
RUN: tuple[Call, ...] = (
    Call("a submission", "POST", f"{_JOBS}/submit", _SUBMIT, {"run_id": "run_id"}),
    Call("the same token again", "POST", f"{_JOBS}/submit", _SUBMIT),
    Call(
        "the run at its end",
        "GET",
        f"{_JOBS}/get?run_id={{run_id}}",
        keep={"task_id": "tasks.0.run_id"},
        until=("state.life_cycle_state", ("TERMINATED", "INTERNAL_ERROR", "SKIPPED")),
    ),
    Call(
        "its output",
        "GET",
        f"{_JOBS}/get-output?run_id={{task_id}}",
        keep={"mlflow_run": "ai_runtime_task_output.mlflow_run_id"},
    ),
    Call("its log", "GET", f"{_TRAINING}/workflows/by-run-id/{{run_id}}/logs?page_size=5&ascending=true"),
    Call("its MLflow run", "GET", "/api/2.0/mlflow/runs/get?run_id={mlflow_run}"),
    Call("its artifacts", "GET", "/api/2.0/mlflow/artifacts/list?run_id={mlflow_run}"),
    Call("a cancel of a run that ended", "POST", f"{_JOBS}/cancel", {"run_id": "{run_id}"}),
)
