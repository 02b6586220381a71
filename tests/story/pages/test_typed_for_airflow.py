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
"""What the pages tell to type and what starts Airflow, typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow.providers.databricks_air.version_compat import AIRFLOW_VERSION
from tests.pages import Block, name
from tests.story.pages.reader import Reader, cases, commands

HAS_COMMANDS = tuple(map(int, AIRFLOW_VERSION.split(".")[:2])) >= (3, 2)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("block", cases(slow=True), ids=name)
def test_what_is_typed_for_airflow_works(reader: Reader, block: Block, airflow_db: Path) -> None:
    """The same for commands that start Airflow or another server; what this Airflow lacks is left out."""
    reader.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{airflow_db}"
    reader.follow(block)
    text = commands(block)
    if not HAS_COMMANDS:
        text = re.sub(r"^airflow databricks-air .*$", "", text, flags=re.MULTILINE)
    reader.type(text)
