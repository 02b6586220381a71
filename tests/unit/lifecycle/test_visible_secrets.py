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

"""Credentials that somebody wrote where everybody can read them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.lifecycle.launch.config_source import ConfigSource

SECRET = "dapi" + "0" * 32
RUN = {"experiment_name": "x", "compute": {"accelerator_type": "GPU_1xH100", "num_accelerators": 1}}
CONTAINER = {"name": "train", "command": "echo", "ranks": [0], "unity_catalog_image": "a.b.c:1"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"command": "echo", "env_variables": {"KEY": SECRET}},
            "env_variables: the value of KEY looks like a credential, and everybody who sees the run can read it. "
            "Keep it in a secret scope and write secrets: {KEY: scope/key}",
        ),
        (
            {"containers": [{**CONTAINER, "environment_variables": {"variables": {"KEY": SECRET}}}]},
            "containers.0.environment_variables.variables: the value of KEY looks like a credential, and everybody "
            "who sees the run can read it. Keep it in a secret scope and write KEY: '{{secrets/scope/key}}'",
        ),
    ],
    ids=["run", "container"],
)
def test_a_visible_credential_is_warned_of(
    config: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The place, the name and what to write instead are said, without the value."""
    ConfigSource(None, {**RUN, **config}, None, None).read()
    assert words in caplog.text
    assert SECRET not in caplog.text
