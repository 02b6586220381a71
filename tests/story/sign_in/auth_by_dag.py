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
"""An auth manager with permissions by Dag: what people of the simple one may do, but a stranger reads no Dag at all."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

__all__ = ["AuthByDag"]


class AuthByDag(SimpleAuthManager):
    """Lets the user ``stranger`` read the Dag ``public`` and no other; ``short_sighted`` reads no logs."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None
    ) -> bool:
        """Say whether a user may do something with a Dag."""
        if user.username == "stranger" and (details is None or details.id != "public"):
            return False
        if user.username == "short_sighted" and getattr(access_entity, "name", "") == "TASK_LOGS":
            return False
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )
