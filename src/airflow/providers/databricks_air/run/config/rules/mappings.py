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
"""The mappings whose names belong to the author: variables, secrets, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from airflow.providers.databricks_air.run.config.rules.sentences import mistake
from airflow.providers.databricks_air.run.config.rules.values import Text
from airflow.providers.databricks_air.run.document.limits import MAX_DEPTH
from airflow.providers.databricks_air.run.document.nodes import Scalar, plain
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.errors import ConfigError

__all__ = ["FreeForm", "SecretMap", "TextMap"]

_VARIABLE = Text(
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "cannot be the name of an environment variable",
    "Use letters, digits and _, not a digit first",
    blank="Use letters, digits and _, not a digit first",
)
_SECRET = Text(
    r"^[^/]*[^/\s][^/]*/[^/]*[^/\s][^/]*$",
    "is not a reference to a secret",
    "Write scope/key, with exactly one slash, never the secret itself",
    # Somebody may have written the secret itself here.
    shown=False,
)


def _text_keys(value: object) -> object:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def _free_form(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        return {str(key): plain(from_python(_plain_scalars(item))) for key, item in value.items()}
    except ConfigError as error:
        raise mistake(error.errors[0].message, error.errors[0].hint) from None


def _plain_scalars(value: object, depth: int = 0) -> object:
    """Return *value* with every scalar of a document replaced by its plain value."""
    if depth > MAX_DEPTH:
        raise mistake(f"values are nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain_scalars(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_scalars(item, depth + 1) for item in value]
    return value


def _null_is_empty(value: object) -> object:
    return "" if value is None else value


class _NullIsEmpty:
    """Lets a variable without a value be the empty text."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_null_is_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean", "null"]}


class _VariableNames:
    """Says in the JSON Schema what the keys of a mapping of variables must be."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "propertyNames": {"pattern": _VARIABLE.pattern}}


TextMap = Annotated[
    Mapping[Annotated[str, _VARIABLE], Annotated[str, Text(None), _NullIsEmpty()]],
    BeforeValidator(_text_keys),
    _VariableNames(),
]
SecretMap = Annotated[
    Mapping[Annotated[str, _VARIABLE], Annotated[str, _SECRET]], BeforeValidator(_text_keys), _VariableNames()
]
FreeForm = Annotated[Mapping[str, Any], BeforeValidator(_free_form)]
