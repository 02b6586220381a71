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
"""A strict world: what was not declared does not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from wire import ALONE, HOME, Client

FILES = "/api/2.0/fs/{}/Volumes/main/default/mistyped"
IMAGES = "/api/2.0/ai-compute-manager/images"
SUBMIT = "/api/2.2/jobs/runs/submit"
POOL = {"provisioned_capacity_id": "team"}


@pytest.fixture
def body(client: Client) -> dict[str, Any]:
    """Return a submit body that is right, with a command that is there."""
    client.put_file(f"{HOME}/demo/command.sh", "true")
    return client.submit_body()


def _with(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body with changes of the task, of its compute (``compute``) or of itself (``top``)."""
    air = body["tasks"][0]["ai_runtime_task"]
    air["deployments"][0]["compute"].update(changes.pop("compute", {}))
    body.update(changes.pop("top", {}))
    air.update(changes)
    return body


def test_a_mistyped_volume_is_not_there(client: Client) -> None:
    """Reading, listing, writing and uploading in parts are 404s that name the volumes that there are."""
    answers = [
        client.send("GET", FILES.format("directories")),
        client.send("PUT", FILES.format("directories") + "/a"),
        client.send("PUT", FILES.format("files") + "/a", b"x"),
        client.send("GET", FILES.format("files") + "/a"),
        client.send("POST", FILES.format("files") + "/a?action=initiate-upload"),
    ]

    assert {(answer.status, answer.json["error_code"]) for answer in answers} == {
        (404, "RESOURCE_DOES_NOT_EXIST")
    }
    assert answers[0].json["message"] == (
        "Volume 'main.default.mistyped' does not exist: declared are main.default.data (--volume)."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compute": POOL}, "Provisioned capacity 'team' does not exist: none is declared (--pool)."),
        ({"top": {"budget_policy_id": "p-1"}}, "Usage policy 'p-1' does not exist"),
        (
            {"unity_catalog_image_path": "main.air.training:prod"},
            "Image 'main.air.training:prod' does not exist",
        ),
        ({"docker_image_url": "me/app:1"}, "Image 'me/app:1' does not exist"),
        (
            {"mlflow_artifact_location": "dbfs:/Volumes/main/default/v"},
            "Volume 'main.default.v' does not exist",
        ),
    ],
)
def test_a_run_may_name_what_there_is(
    air: LocalAirRuntime, client: Client, body: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    """A run that names something else is refused before it is one; once it is declared the run is accepted."""
    wanted = _with(body, **changes)
    refused = client.send("POST", SUBMIT, wanted)

    air.declare(
        volumes=["/Volumes/main/default/v"],
        images=["docker.io/me/app:1", "main.air.training:prod"],
        pools={"team": "GPU_1xH100:4"},
        policies={"Team": "p-1"},
    )

    assert refused.status in {400, 404}
    assert refused.json["message"].startswith(words)
    assert air.runs_created == 0
    assert client.send("POST", SUBMIT, wanted).status == 200


def test_a_pool_has_its_accelerators(air: LocalAirRuntime, client: Client, body: dict[str, Any]) -> None:
    """A run that asks a pool for another accelerator is refused."""
    air.declare(pools={"team": "GPU_8xH100:16"})

    answer = client.send("POST", SUBMIT, _with(body, compute=POOL))

    assert answer.json["message"] == "Provisioned capacity 'team' has GPU_8xH100, not GPU_1xH100."


def test_an_image_that_is_not_there_fails_to_register(client: Client) -> None:
    """Its registration ends as FAILED with a reason, and it is not accessible."""
    client.send("POST", IMAGES, {"docker_image_url": "me/mistyped"})

    found = client.get(f"{IMAGES}:get", docker_image_url="me/mistyped").json
    access = client.get(f"{IMAGES}:checkImageAccess", docker_image_url="me/mistyped").json

    assert found["state"] == "FAILED"
    assert "does not exist" in found["status_message"]
    assert not access["publicly_accessible"]


def test_relaxed(tmp_path: Path) -> None:
    """For a first try whatever is named exists."""
    with LocalAirRuntime(tmp_path, relaxed=True) as air:
        client = Client(air)
        client.put_file(f"{HOME}/demo/command.sh", "true")
        changes = {"compute": POOL, "top": {"budget_policy_id": "p"}, "unity_catalog_image_path": "a.b.c:d"}

        assert client.send("PUT", FILES.format("files") + "/a", b"x").status == 204
        assert client.send("POST", SUBMIT, _with(client.submit_body(), **changes)).status == 200


def test_volumes_stay_with_the_directory(tmp_path: Path) -> None:
    """A volume that was declared once is there, with its files, when the server starts again."""
    with LocalAirRuntime(tmp_path, volumes=["a.b.c"]) as air:
        Client(air).send("PUT", "/api/2.0/fs/files/Volumes/a/b/c/file", b"kept")
    with LocalAirRuntime(tmp_path) as air:
        assert Client(air).send("GET", "/api/2.0/fs/files/Volumes/a/b/c/file").body == b"kept"


def test_declared_in_a_file_and_by_arguments(tmp_path: Path) -> None:
    """``--workspace FILE`` and the options add up."""
    file = tmp_path / "workspace.yaml"
    file.write_text("volumes: [main.default.data]\npools: {team: GPU_8xH100:16}\n")
    options = ["--workspace", str(file), "--volume", "a.b.c", "--policy", "Team A=1-2", "--image", "me/app"]
    show = (
        "import os, urllib.request as u; request = u.Request(os.environ['DATABRICKS_HOST'] + '/local/inventory',"
        " headers={'Authorization': 'Bearer ' + os.environ['DATABRICKS_TOKEN']});"
        " print(u.urlopen(request).read().decode())"
    )

    done = subprocess.run(
        [sys.executable, *ALONE, *options, "--", sys.executable, "-c", show],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == (
        '{"volumes": ["a.b.c", "main.default.data"], "images": ["me/app"], '
        '"pools": {"team": "GPU_8xH100:16"}, "policies": {"Team A": "1-2"}}'
    ), done.stderr


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"volumes": ["main.data"]}, "volumes: 'main.data' must read catalog.schema.volume"),
        ({"pools": {"team": "H100:16"}}, "pools team: 'H100:16' must read TYPE:COUNT"),
        ({"pools": ["team"]}, "must be a mapping"),
        ({"image": []}, "'image': not one of volumes, images, pools, policies"),
        ({"policies": {"a": 1}}, "policies a: [1] must be a list of texts"),
    ],
)
def test_a_wrong_declaration_is_explained(air: LocalAirRuntime, wrong: dict[str, Any], words: str) -> None:
    """The message names the part, the value and the rule."""
    with pytest.raises(ValueError, match="must|not one of") as refusal:
        air.declare(**wrong)

    assert words in str(refusal.value)
