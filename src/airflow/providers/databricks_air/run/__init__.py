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
"""What a run is: plain values, no Airflow, no network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.errors import AirError, ConfigError, FieldError, SnapshotError
    from airflow.providers.databricks_air.run.load import load_run_config

__all__ = ["AirError", "ConfigError", "FieldError", "RunConfig", "SnapshotError", "load_run_config"]

_ROOM = {"RunConfig": "config.run_config", "load_run_config": "load"}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: every module of a Dag file's imports passes here, few need the schema."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
