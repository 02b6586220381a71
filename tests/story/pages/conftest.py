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
"""A reader of the pages, in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.pages.reader import Reader


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return somebody who does what a page says, with a workspace of their own."""
    secrets = {"my_scope/registry": "bWU6c2VjcmV0", "my_scope/hf_token": "hf"}
    images = ["docker.io/me/train:1"]
    with LocalAirRuntime(tmp_path / "air", retry_wait=0.1, secrets=secrets, images=images) as air:
        yield Reader(air, tmp_path / "reader")
