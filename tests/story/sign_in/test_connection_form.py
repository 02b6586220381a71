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

"""The form of a connection on the page of the newest Airflow, and its Test button, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow.providers.databricks_air.hooks.form import FORM_FIELDS, LABELS, PLACEHOLDERS
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import AIRFLOW_3, Component, Settings, wait_for
from tests.story.airflow_cluster.settings import Ports, environment
from tests.story.in_airflow.browser import keep_picture, page, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["page"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not AIRFLOW_3, reason="Airflow 2 has another page, which asks the hook for the fields"
    ),
]


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[str]:
    """Start Airflow's API server alone, with its Test button enabled, and return its address."""
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "passwords.json").write_text(json.dumps({"admin": "admin"}))
    ports = Ports.free(1)
    settings = Settings(home, env={"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"})
    env = environment(settings, ports, f"sqlite:///{home}/airflow.db")
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
    )
    server = Component("api", ["api-server"], env, home / "api.log")
    url = f"http://127.0.0.1:{ports.api}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/api/v2/monitor/health", timeout=10).ok
        except requests.RequestException:
            return False

    server.start()
    try:
        wait_for(answers, "the API server")
        yield url
    finally:
        server.stop()


def fill(page: Page, url: str, conn_id: str, **fields: str) -> Locator:
    """Open the form, choose the type of the connection and fill fields in."""
    page.goto(f"{url}/connections")
    page.get_by_role("button", name="Add Connection").first.click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill(conn_id)
    form.get_by_role("combobox").first.click()
    page.keyboard.type("Databricks AI Runtime")
    page.keyboard.press("Enter")
    for name, value in fields.items():
        form.locator(f"input[name={name}]").fill(value)
    return form


def press_test(page: Page, form: Locator) -> dict[str, Any]:
    """Save the connection, press its Test button, and return what the page was told."""
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")
    with page.expect_response(lambda response: response.url.endswith("/connections/test")) as told:
        page.locator("table").get_by_role("button", name="Test").last.click()
    answer = told.value
    assert answer.ok, answer.text()
    found: dict[str, Any] = answer.json()
    return found


def test_the_form_shows_the_fields(airflow: str, page: Page, tmp_path: Path) -> None:
    """Standard fields have their labels and placeholders, and all others a field of their own."""
    sign_in(page, airflow)
    form = fill(page, airflow, "training")
    for name, words in PLACEHOLDERS.items():
        assert form.locator(f"input[name={name}]").get_attribute("placeholder") == words
    for label in LABELS.values():
        form.get_by_text(label, exact=True).wait_for()
    assert keep_picture(page, tmp_path, "connection").stat().st_size > 10_000
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for label in FORM_FIELDS.values():
        form.get_by_text(label, exact=True).wait_for()
    assert not form.locator("input[name=schema]").count()


def test_the_test_button(airflow: str, page: Page, tmp_path: Path) -> None:
    """It says who we are on which workspace, or what is wrong."""
    with LocalAirRuntime(tmp_path / "air") as air:
        sign_in(page, airflow)
        # Airflow 3.3.2 sends 0 for an empty port, and then finds that it differs from what is stored.
        good = press_test(page, fill(page, airflow, "good", host=air.url, password=air.token, port="0"))
        assert good["status"], good
        assert f"Connected to {air.url}" in good["message"]
        assert "as you@example.com" in good["message"]
        bad = press_test(page, fill(page, airflow, "wrong", host=air.url, password="dapi-wrong", port="0"))
        assert not bad["status"], bad
        assert "403" in bad["message"]
