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

from typing import Annotated, ClassVar, Literal, get_args

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.rules.relations import Apart, AtLeastOne, Relation
from airflow.providers.databricks_air.run.config.rules.values import OneOf, Text

__all__ = ["LEVELS", "Permission"]

_Level = Literal["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"]

#: What a principal may do with a run.
LEVELS: tuple[str, ...] = get_args(_Level)

_EACH = "Write one entry for each"


class Permission(ConfigModel):
    """What one user, group or service principal may do with the run."""

    user_name: Annotated[str, Text(strip=True)] | None = None
    """A user, by e-mail address. Exactly one of the three names."""

    group_name: Annotated[str, Text(strip=True)] | None = None
    """A group. Exactly one of the three names."""

    service_principal_name: Annotated[str, Text(strip=True)] | None = None
    """A service principal, by application id. Exactly one of the three names."""

    level: Annotated[_Level, OneOf()]
    """``CAN_VIEW``, ``CAN_MANAGE_RUN``, ``CAN_MANAGE`` or ``IS_OWNER``."""

    relations: ClassVar[tuple[Relation, ...]] = (
        AtLeastOne(
            ("user_name", "group_name", "service_principal_name"),
            "Write one of user_name, group_name, service_principal_name",
            message="names nobody",
        ),
        Apart("user_name", ("group_name", "service_principal_name"), _EACH, at="group_name"),
        Apart("group_name", ("service_principal_name",), _EACH, at="service_principal_name"),
    )
