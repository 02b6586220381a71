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
"""Who else may see or manage a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from airflow.providers.databricks_air.run.config.model import ConfigModel, Conflict, is_set
from airflow.providers.databricks_air.run.config.rules import Text, forbid, mistake, nearest, trimmed
from airflow.providers.databricks_air.run.document.display import show

__all__ = ["LEVELS", "Permission"]

#: What a principal may do with a run.
LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER")

_PRINCIPALS = ("user_name", "group_name", "service_principal_name")


def _level(value: str) -> str:
    name = value.strip()
    if name in LEVELS:
        return name
    close = nearest(name, LEVELS)
    raise mistake(
        f"{show(value)} is not a level", f"Did you mean {close}?" if close else f"One of {', '.join(LEVELS)}"
    )


class Permission(ConfigModel):
    """What one user, group or service principal may do with the run."""

    user_name: Annotated[Text, AfterValidator(trimmed())] | None = None
    """A user, by e-mail address. Exactly one of the three names."""

    group_name: Annotated[Text, AfterValidator(trimmed())] | None = None
    """A group. Exactly one of the three names."""

    service_principal_name: Annotated[Text, AfterValidator(trimmed())] | None = None
    """A service principal, by application id. Exactly one of the three names."""

    level: Annotated[Text, AfterValidator(_level), Field(json_schema_extra={"enum": list(LEVELS)})]
    """``CAN_VIEW``, ``CAN_MANAGE_RUN``, ``CAN_MANAGE`` or ``IS_OWNER``."""

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        named = [name for name in _PRINCIPALS if is_set(data, name)]
        if not named:
            yield (), mistake("names nobody", f"Write one of {', '.join(_PRINCIPALS)}")
        elif len(named) > 1:
            yield (named[-1],), forbid(named, "cannot stand together", "Write one entry for each")
