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
"""The table of older names is all that anything reads about them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.run import ConfigError, load_run_config
from airflow.providers.databricks_air.run.config.older_names import OLDER_NAMES, OlderName
from airflow.providers.databricks_air.run.config.schema.fields import named_field
from airflow.providers.databricks_air.run.config.schema.json_schema import json_schema
from tests.unit.run.mistakes import VALID

GONE = [row for row in OLDER_NAMES if row.accepted is None]
READ = [row for row in OLDER_NAMES if row.accepted is not None]


def part_of(schema: dict[str, Any], row: OlderName) -> dict[str, Any]:
    """Return the properties of the part of the JSON Schema that *row* belongs to."""
    names = {"compute": "Compute", "environment": "Environment", "code_source": "CodeSource"}
    part = (
        schema["$defs"]["GitRef" if row.parent.endswith("git") else names[row.parent]]
        if row.parent
        else schema
    )
    return dict(part["properties"])


@pytest.mark.parametrize("row", GONE, ids=lambda row: row.path)
def test_name_that_is_gone_is_told_everywhere(row: OlderName) -> None:
    """Loading, an override and explain answer with the advice of the row; the JSON Schema has no such name."""
    document: Any = "x"
    for name in reversed(row.path.split(".")):
        document = {name: document}
    with pytest.raises(ConfigError, match="is not a field any more") as loading:
        load_run_config(document)
    with pytest.raises(ConfigError, match="is not a field any more") as overriding:
        load_run_config(VALID, overrides=[f"{row.path}=x"])
    with pytest.raises(ConfigError, match="is not a field any more") as explaining:
        named_field(row.path)

    for told in (loading, overriding, explaining):
        assert row.advice in [error.hint for error in told.value.errors]
    assert row.name not in part_of(json_schema(), row)


@pytest.mark.parametrize("row", READ, ids=lambda row: row.path)
def test_name_that_is_read_is_deprecated_everywhere(row: OlderName) -> None:
    """Explain knows the name, an override may name it, and the JSON Schema marks it as deprecated."""
    assert named_field(row.path).path == row.path
    own = part_of(json_schema(), row)[row.name]
    assert own.get("deprecated") or any(item.get("deprecated") for item in own["anyOf"])
