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
"""Names of images."""

from __future__ import annotations

import pytest

from databricks_air_local.http.refusals import Refusal
from databricks_air_local.state.inventory import normalise


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("ghcr.io/me/app", "ghcr.io/me/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
        (f"a/b:1@sha256:{'0' * 64}", f"docker.io/a/b@sha256:{'0' * 64}"),
    ],
)
def test_image_names(name: str, whole: str) -> None:
    """Host, namespace and tag are filled in; a digest replaces the tag."""
    assert normalise(name) == whole


def test_what_is_no_image() -> None:
    """Anything else is refused."""
    for wrong in ("", "a b", None, 5, "../x"):
        with pytest.raises(Refusal):
            normalise(wrong)
