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
"""What official clients noticed, as the wire has it."""

from __future__ import annotations

from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from wire import Client

IMAGES = "/api/2.0/ai-compute-manager/images"
VALIDATE = "/api/2.0/ai-training/config:validate"


def test_a_registered_image_is_answered_bare(air: LocalAirRuntime, client: Client) -> None:
    """Clients wait for the state of what ``:get`` answers, not of something inside it."""
    air.declare(images=["me/app:1"])
    client.send("POST", IMAGES, {"docker_image_url": "me/app:1"})

    found = client.get(f"{IMAGES}:get", docker_image_url="me/app:1").json

    assert (found["state"], found["docker_image_url"]) == ("AVAILABLE", "docker.io/me/app:1")


def _task(count: Any, kind: str = "GPU_8xH100") -> dict[str, Any]:
    compute = {"accelerator_type": kind, "accelerator_count": count}
    return {"task": {"deployments": [{"compute": compute}]}}


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        (_task(2048), "deployments[0].compute.accelerator_count", "OUT_OF_RANGE"),
        (_task(0), "deployments[0].compute.accelerator_count", "OUT_OF_RANGE"),
        (_task("2048"), "deployments[0].compute.accelerator_count", "OUT_OF_RANGE"),
        (_task(12), "deployments[0].compute.accelerator_count", "COUNT_NOT_MULTIPLE"),
        (
            {"run_options": {"env_variables": {"1INVALID": "x"}}},
            "env_variables[1INVALID]",
            "DISALLOWED_CHARACTERS",
        ),
        ({"run_options": {"secrets": {"A-B": "s/k"}}}, "secrets[A-B]", "DISALLOWED_CHARACTERS"),
    ],
)
def test_the_check_looks_at_values(client: Client, body: dict[str, Any], path: str, code: str) -> None:
    """A value that no run can have is named with its path and code."""
    (error,) = client.send("POST", VALIDATE, body).json["errors"]

    assert (error["path"], error["code"]) == (path, code)


def test_the_check_accepts_what_is_right(air: LocalAirRuntime, client: Client) -> None:
    """Nothing is wrong with right values; what a test said comes behind what was found."""
    body = {**_task(16), "run_options": {"env_variables": {"_A1": "x"}}}
    assert client.send("POST", VALIDATE, body).json == {}

    air.refuse_config({"path": "task.experiment", "message": "is taken", "code": "TAKEN"})

    assert [error["code"] for error in client.send("POST", VALIDATE, _task(12)).json["errors"]] == [
        "COUNT_NOT_MULTIPLE",
        "TAKEN",
    ]


def test_an_unknown_field_has_the_services_words(client: Client) -> None:
    """A client that sends a field of tomorrow leaves it out when it reads these very words."""
    answer = client.send("POST", VALIDATE, {"tomorrow": {}})

    assert (answer.status, answer.json["error_code"], answer.json["message"]) == (
        400,
        "MALFORMED_REQUEST",
        "Cannot find field: tomorrow in message databricks.aicomputemanager.ValidateConfigRequest",
    )


def test_a_bundle_can_deploy_a_job(client: Client) -> None:
    """A job is defined, read, listed, changed and removed; it survives as it was written."""
    settings = {"name": "train", "tasks": [{"task_key": "train"}]}
    job_id = client.send("POST", "/api/2.2/jobs/create", settings).json["job_id"]

    assert client.get("/api/2.2/jobs/get", job_id=job_id).json["settings"] == settings
    assert [job["job_id"] for job in client.get("/api/2.2/jobs/list", name="Train").json["jobs"]] == [job_id]
    assert client.get("/api/2.2/jobs/list", name="other").json == {"jobs": [], "has_more": False}
    changed = {"job_id": job_id, "new_settings": {**settings, "max_concurrent_runs": 1}}
    assert client.send("POST", "/api/2.2/jobs/reset", changed).status == 200
    assert client.get("/api/2.2/jobs/get", job_id=job_id).json["settings"]["max_concurrent_runs"] == 1
    grant = {"access_control_list": [{"user_name": "a@b.c", "permission_level": "CAN_VIEW"}]}
    assert client.send("PATCH", f"/api/2.0/permissions/jobs/{job_id}", grant).status == 200
    assert client.send("POST", "/api/2.2/jobs/delete", {"job_id": job_id}).status == 200
    assert client.get("/api/2.2/jobs/get", job_id=job_id).json["message"] == f"Job {job_id} does not exist."


def test_telemetry_is_taken(client: Client) -> None:
    """What clients count is taken, so that they do not try again."""
    answer = client.send("POST", "/telemetry-ext", {"uploadTime": 1, "items": [], "protoLogs": ["{}", "{}"]})

    assert (answer.status, answer.json) == (200, {"errors": [], "numProtoSuccess": 2})


def test_oauth_errors_have_oauths_fields(client: Client) -> None:
    """A client that cannot log in prints what the server says."""
    form = "grant_type=client_credentials&client_id=any&client_secret=wrong"
    answer = client.send("POST", "/oidc/v1/token", form, Authorization="")

    assert answer.status == 401
    assert answer.json == {
        "error": "invalid_client",
        "error_description": "Client authentication failed",
    }


def test_numbers_may_be_text_everywhere(client: Client) -> None:
    """Every number of a submit body may come as text, as in the JSON form of every protocol buffer."""
    client.put_file("/Workspace/Users/you@example.com/demo/command.sh", "true")
    body = client.submit_body(accelerator="GPU_8xH100", count="16", timeout_seconds="600")
    body["tasks"][0]["max_retries"] = "2"

    run = client.run(client.send("POST", "/api/2.2/jobs/runs/submit", body).json["run_id"])

    assert run["timeout_seconds"] == 600
    assert run["tasks"][0]["max_retries"] == 2
    assert run["tasks"][0]["ai_runtime_task"]["deployments"][0]["compute"]["accelerator_count"] == 16


def test_a_run_of_many_attempts_has_pages(air: LocalAirRuntime, client: Client) -> None:
    """Above a hundred attempts ``runs/get`` gives the rest on further pages."""
    air.on("demo").retries_after(0).fails()
    run_id = client.submit(max_retries=104)
    first = client.wait(run_id)
    second = client.get("/api/2.2/jobs/runs/get", run_id=run_id, page_token=first["next_page_token"]).json

    numbers = [task["attempt_number"] for page in (first, second) for task in page["tasks"]]
    assert numbers == list(range(105))
    assert "next_page_token" not in second
