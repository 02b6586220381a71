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
"""What a Dag file pays for importing this package."""

from __future__ import annotations

import subprocess
import sys

PACKAGE = "airflow.providers.databricks_air"
MODULES = ("operators.air", "sensors.air", "triggers.air", "hooks.air", "links.air")


def test_importing_does_not_load_the_sdk() -> None:
    """No module that Dag files, workers or the triggerer import at start loads the Databricks SDK."""
    program = "; ".join(f"import {PACKAGE}.{module}" for module in MODULES)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {f"{PACKAGE}.{module}" for module in MODULES} <= loaded
    assert sorted(name for name in loaded if name.partition(".")[0] == "databricks") == []
