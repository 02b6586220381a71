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

"""A real browser for the stories: the Chromium of the machine, driven by Playwright.

::

    def test_the_page(page: Page) -> None:
        sign_in(page, airflow.url)
        page.goto(f"{airflow.url}/connections")
        keep_picture(page, tmp_path, "connections")
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["keep_picture", "page", "sign_in"]

_PROGRAM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
_PATIENCE = 60_000.0
"""Milliseconds that something on a page may take to appear: the machines that run this are slow and shared."""


@pytest.fixture
def page() -> Iterator[Page]:
    """Open an empty page in a browser of its own; import this fixture where it is needed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the newest leg has it)")
    if _PROGRAM is None:
        pytest.skip("needs a browser: chromium or google-chrome on the PATH")
    # Playwright runs an event loop in this thread: it must not outlive the test, or no other test has its own.
    with playwright.sync_playwright() as driver:
        # Root may not use Chromium's own sandbox; small machines have a small /dev/shm.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
        browser = driver.chromium.launch(executable_path=_PROGRAM, args=options)
        opened = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-US")
        opened.set_default_timeout(_PATIENCE)
        opened.set_default_navigation_timeout(_PATIENCE)
        try:
            yield opened
        finally:
            browser.close()


def sign_in(page: Page, url: str, name: str = "admin", password: str = "admin") -> None:
    """Sign in to the Airflow 3 at *url* through its own form.

    :param page: an open page.
    :param url: of the API server.
    :param name: of the user.
    :param password: of the user.
    """
    page.goto(f"{url}/auth/login/")
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda address: "/auth/login" not in address)


def keep_picture(page: Page | Locator, directory: Path, name: str) -> Path:
    """Take a picture, into the documentation when ``AIR_PICTURES`` names its directory; return its file.

    :param page: a page, or a part of one.
    :param directory: where it goes otherwise.
    :param name: of the file, without ``.png``.
    """
    target = Path(os.environ.get("AIR_PICTURES") or directory) / f"{name}.png"
    page.screenshot(path=target)
    return target
