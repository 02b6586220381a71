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
"""The run configuration as a JSON Schema, for editors and other tools.

pydantic makes it of the same constraints and relations that check a document. What is added here is what stands
around the models: bases, older names, and that a file with bases may leave to them what a whole document needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.providers.databricks_air.run.config.model import PRESENCE
from airflow.providers.databricks_air.run.config.older_names import OlderName, older_names
from airflow.providers.databricks_air.run.config.rules.relations import Apart
from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.config.schema.fields import SchemaField, root
from airflow.providers.databricks_air.run.document.bases import BASES, BASES_TEXT

__all__ = ["json_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the YAML file, today's form and the older forms that are still read."""
    schema: dict[str, Any] = RunConfig.model_json_schema()
    parts = schema["$defs"]
    whole = _whole(root(), schema, parts)
    for part in parts.values():
        # What is left stands in lists, which no base completes.
        if presence := part.pop(PRESENCE, None):
            part["allOf"] = [*part.get("allOf", []), *presence]
    for field in _sections(root()):
        _add_older(field, schema if not field.path else parts[_definition(field)])
    _wrap_code_source(parts, whole)
    schema["properties"][BASES] = {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        "description": BASES_TEXT,
    }
    # A file may leave the rest to its bases.
    based = {"required": [BASES], "properties": {BASES: {"type": "array", "minItems": 1}}}
    schema["if"], schema["else"] = based, whole
    schema["title"] = "Databricks AI Runtime run configuration"
    schema["description"] = "One training run, as databricks air run and AirRunOperator take it."
    return {"$schema": _DIALECT, **schema}


def _definition(field: SchemaField) -> str:
    assert field.model is not None
    return field.model.__name__


def _sections(field: SchemaField) -> Iterator[SchemaField]:
    """Yield the parts that mappings lead to."""
    yield field
    for child in field.children.values():
        if child.model is not None:
            yield from _sections(child)


def _whole(field: SchemaField, part: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Take what only a whole document must obey out of *part* and return it, with that of the parts below."""
    below = {
        name: _whole(child, parts[_definition(child)], parts)
        for name, child in field.children.items()
        if child.model is not None
    }
    presence = part.pop(PRESENCE, [])
    return {"type": ["object", "null"], **({"allOf": presence} if presence else {}), "properties": below}


def _add_older(field: SchemaField, part: dict[str, Any]) -> None:
    """Add the older names of one part that are still read."""
    for name, older in older_names(field.path).items():
        if older.accepted is None:
            continue
        known = part["properties"].get(name)
        if older.path != older.target:
            part["properties"][name] = _deprecated(older)
            _keep_apart(older, part)
        elif "$ref" not in older.accepted:
            known["anyOf"].append(_deprecated(older))
        else:
            known["deprecated"] = True


def _keep_apart(older: OlderName, part: dict[str, Any]) -> None:
    """Let an older name and today's not both be set."""
    beside = older.target.rpartition(".")[2] if older.target else ""
    others = [beside] if beside in part["properties"] else []
    if older.target == older.parent:
        others = [name for name in part["properties"] if older_names(older.parent).get(name) is None]
    if others:
        rule = Apart(older.name, tuple(others), older.advice)
        part["allOf"] = [*part.get("allOf", []), rule.schema()]


def _deprecated(older: OlderName) -> dict[str, Any]:
    description = f"Older form. {older.advice}."
    return {
        "anyOf": [dict(older.accepted or {}), {"type": "null"}],
        "deprecated": True,
        "description": description,
    }


def _wrap_code_source(parts: dict[str, Any], whole: dict[str, Any]) -> None:
    """Let the fields of a code source stand below ``snapshot``, too."""
    source, row = parts["CodeSource"], older_names("code_source")["snapshot"]
    inner = {name: own for name, own in source["properties"].items() if name not in older_names(row.parent)}
    presence = whole["properties"][row.parent]
    parts["CodeSnapshot"] = {
        **source,
        "properties": inner,
        "allOf": presence.pop("allOf"),
        "title": "CodeSnapshot",
    }
    wrapped = {"required": [row.name], "properties": {row.name: {"type": "object"}}}
    presence["anyOf"] = [wrapped, {"allOf": parts["CodeSnapshot"]["allOf"]}, {"type": "null"}]
