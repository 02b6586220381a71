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
"""What a launch sends, request by request, for every form of a configuration.

``AIR_WRITE_GOLDEN=1 pytest tests/wire`` writes the golden files beside the forms anew; a change of the wire
is then a diff to review.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from airflow.providers.databricks_air.api.http.calls import get_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.launch.permissions import grant_on_experiment
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks_air_local.remote import Recorded

FORMS = Path(__file__).parent / "forms"
UPLOAD = "/api/2.0/workspace-files/import-file"
NUMBER = re.compile(r"\b1\d{6}\b")
TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """A local AI Runtime whose runs succeed at once."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air")) as runtime:
        runtime.declare(
            policies={
                "Team A": "11111111-2222-3333-4444-555555555555",
                "Team A plus": "other",
                "Named by id": "12345678-90AB-cdef-1234-567890abcdef",
            },
            pools={"cap-8xh100-a": "GPU_8xH100:16"},
            volumes=["main.default.artifacts", "main.default.my code"],
            images=["main.ml.vllm:0.20.0", "main.ml.trl:latest", "main.air.training:prod", "org/image:tag"],
        )
        runtime.on("*").succeeds()
        yield runtime


@pytest.fixture
def air(server: LocalAirRuntime) -> LocalAirRuntime:
    """The server, with an empty journal."""
    server.clear_requests()
    return server


def content(air: LocalAirRuntime, path: str) -> str:
    """Return what was uploaded to a workspace path."""
    query = urlencode({"path": path, "direct_download": "true"})
    request = Request(
        f"{air.url}/api/2.0/workspace/export?{query}", headers={"Authorization": f"Bearer {air.token}"}
    )
    with urlopen(request) as answer:
        return str(answer.read().decode())


def shown(air: LocalAirRuntime, request: Recorded) -> dict[str, Any]:
    """Return a request as a golden file shows it: without what differs from one run to the next."""
    body: Any = request.body
    if request.path.endswith(".tar.gz"):
        body = "(archive)"
    elif request.path.startswith(UPLOAD):
        body = content(air, request.path.removeprefix(UPLOAD))
    elif request.body.startswith("{"):
        body = request.json()
    query = {name: values[0] for name, values in request.query.items()}
    return {"request": f"{request.method} {request.path}", "query": query, "body": body}


@pytest.mark.parametrize("form", sorted(path.stem for path in FORMS.glob("*.yaml")))
def test_requests_of_a_launch(air: LocalAirRuntime, form: str) -> None:
    """A launch, with the grant on the experiment, sends exactly the requests of the golden file."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    config = load_run_config(FORMS / f"{form}.yaml")
    run_id = launch(client, config, token=TOKEN)
    if config.permissions:
        grant_on_experiment(client, config.permissions, client.perform(get_run(run_id)))
    client.close()
    # How often the experiment is asked for depends on the time.
    requests = [shown(air, request) for request in air.requests() if not request.path.endswith("/get-output")]
    # Requests that go side by side arrive in any order.
    requests.sort(key=lambda request: json.dumps(request, sort_keys=True))
    text = NUMBER.sub("<id>", json.dumps(requests, indent=2, ensure_ascii=False) + "\n")
    golden = FORMS / f"{form}.json"
    if os.environ.get("AIR_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
