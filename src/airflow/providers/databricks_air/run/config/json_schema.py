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
"""The run configuration as a JSON Schema, for editors and other tools."""

from __future__ import annotations

from typing import Any

from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.document.bases import BASES, BASES_TEXT

__all__ = ["json_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the YAML file, today's form and the older forms that are still read."""
    schema: dict[str, Any] = RunConfig.model_json_schema()
    schema["properties"][BASES] = {
        "description": BASES_TEXT,
        "items": {"type": "string"},
        "type": "array",
    }
    # A file may leave required fields to its bases.
    required = schema.pop("required")
    schema["anyOf"] = [{"required": required}, {"required": [BASES]}]
    parts = schema["$defs"]
    parts["Compute"]["properties"]["provisioned_capacity_id"] = _older("Write pool_id.", type="string")
    dependencies = parts["Environment"]["properties"]["dependencies"]
    dependencies["anyOf"] = [
        {"type": "array", "items": dependencies.pop("items")},
        _older("Write the lines of the file as a list.", type="string", pattern=r"\.ya?ml$"),
    ]
    del dependencies["type"]
    parts["GitRef"]["properties"]["remote"] = _older("Remove it.", enum=[False, ""])
    _wrapped_code_source(parts)
    schema["title"] = "Databricks AI Runtime run configuration"
    schema["description"] = "One training run, as databricks air run and AirRunOperator take it."
    return {"$schema": _DIALECT, **schema}


def _older(hint: str, **schema: Any) -> dict[str, Any]:
    return {**schema, "deprecated": True, "description": f"Older form. {hint}"}


def _wrapped_code_source(parts: dict[str, Any]) -> None:
    source = parts["CodeSource"]
    parts["CodeSnapshot"] = {**source, "description": "Older form of a code source."}
    source["properties"] = {
        **source["properties"],
        "type": _older("Remove it.", const="snapshot"),
        "snapshot": _older(
            "Write its fields directly under code_source.", **{"$ref": "#/$defs/CodeSnapshot"}
        ),
    }
    source["oneOf"] = [{"required": source.pop("required")}, {"required": ["snapshot"]}]
