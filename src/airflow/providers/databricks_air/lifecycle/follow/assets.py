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
"""The asset events of a task's outlets: what a run has made, for whoever is scheduled on the asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.version_compat import AIRFLOW_VERSION, HAS_ASSET_PARTITIONS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["check_partitions", "tell_assets"]


def tell_assets(context: Context, result: Mapping[str, Any], partitions: Sequence[str] = ()) -> None:
    """Let the asset events of the task's outlets carry its result as their ``extra``.

    :param context: of the running task.
    :param result: what the task returns.
    :param partitions: keys of the partitions that were made; one event for each of them.
    """
    events: Any = context.get("outlet_events")
    for outlet in (getattr(context.get("task"), "outlets", None) or ()) if events is not None else ():
        try:
            event = events[outlet]
        except (TypeError, KeyError, ValueError):
            # Outlets may be of other kinds, which have no events.
            continue
        event.extra = {**event.extra, **result}
        if partitions:
            event.add_partitions(list(partitions))


def check_partitions(partitions: Any) -> list[str]:
    """Return the keys of partitions as a list.

    :param partitions: what the author wrote, rendered.
    :raises AirConfigError: when a key is empty or too long, or this Airflow has no partitions.
    """
    keys = [partitions] if isinstance(partitions, str) else list(partitions or ())
    for key in keys:
        if not isinstance(key, str) or not key.strip() or len(key) > 250:
            raise AirConfigError(f"partition_keys: {key!r} is not a text of 1 to 250 characters")
    if keys and not HAS_ASSET_PARTITIONS:
        raise AirConfigError(
            f"partition_keys: Airflow {AIRFLOW_VERSION} has none; remove them, or use Airflow 3.3"
        )
    return keys
