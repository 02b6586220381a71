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
"""Registering an image, and waiting until runs can use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.images.registration import registration
from databricks_air_local import LocalAirRuntime

URL = "docker.io/me/train:1"
IMAGES = "/api/2.0/ai-compute-manager/images"


@pytest.fixture
def air(tmp_path: Path) -> Iterator[LocalAirRuntime]:
    """Start a server; it would make an image available at once."""
    with LocalAirRuntime(tmp_path) as runtime:
        runtime.declare(images=[URL])
        yield runtime


@pytest.fixture
def client(air: LocalAirRuntime) -> Iterator[SyncClient]:
    """Return a client of the server."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    yield client
    client.close()


def says(air: LocalAirRuntime, method: str, path: str, state: str, message: str = "", times: int = 1) -> None:
    """Let the next answers be an image in a state."""
    image = {"docker_image_url": URL, "state": state, "status_message": message}
    air.add_fault(path, method=method, times=times, status=200, body=json.dumps(image))


def looks(air: LocalAirRuntime) -> list[tuple[str, str]]:
    """Return what the service was asked, in order."""
    return [(request.method, request.path.removeprefix(IMAGES)) for request in air.requests()]


def test_every_state_is_told_until_it_stays(air: LocalAirRuntime, client: SyncClient) -> None:
    """An image that is imported is looked at now and then until runs can use it."""
    air.add_fault(f"{IMAGES}:get", status=404, error_code="NOT_FOUND")
    says(air, "POST", IMAGES, "PENDING")
    says(air, "GET", f"{IMAGES}:get", "IMPORTING", times=2)
    says(air, "GET", f"{IMAGES}:get", "AVAILABLE")
    waits: list[float] = []
    states = [image.state for image in registration(client, URL, every=7.0, sleep=waits.append)]
    assert states == ["PENDING", "IMPORTING", "IMPORTING", "AVAILABLE"]
    assert waits == [7.0, 7.0, 7.0]
    assert looks(air) == [("GET", ":get"), ("POST", ""), *[("GET", ":get")] * 3]


def test_an_image_that_fails_says_why(air: LocalAirRuntime, client: SyncClient) -> None:
    """The wait ends with the failure and the service's own words."""
    says(air, "POST", IMAGES, "IMPORTING")
    says(air, "GET", f"{IMAGES}:get", "IMPORTING")
    says(air, "GET", f"{IMAGES}:get", "FAILED", "manifest unknown")
    *_, last = registration(client, URL, is_anew=True, sleep=lambda _: None)
    assert (last.state, last.message, last.is_over) == ("FAILED", "manifest unknown", True)


def test_an_image_that_failed_is_registered_again(air: LocalAirRuntime, client: SyncClient) -> None:
    """What failed once is tried once more; what is available is left as it is."""
    says(air, "GET", f"{IMAGES}:get", "FAILED", "manifest unknown")
    assert [image.state for image in registration(client, URL)] == ["AVAILABLE"]
    assert [image.state for image in registration(client, URL)] == ["AVAILABLE"]
    assert looks(air) == [("GET", ":get"), ("POST", ""), ("GET", ":get")]


def test_the_secret_is_named_and_not_sent(air: LocalAirRuntime, client: SyncClient) -> None:
    """The registry's credentials go along as the name of a secret."""
    list(registration(client, URL, ("registry", "login"), is_anew=True))
    (request,) = air.requests(method="POST")
    assert request.json() == {
        "docker_image_url": URL,
        "credentials_scope": "registry",
        "credentials_key": "login",
    }
