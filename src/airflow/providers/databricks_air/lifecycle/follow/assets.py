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

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.version_compat import AIRFLOW_VERSION

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["check_partitions", "tell_assets"]

log = logging.getLogger(__name__)

LONGEST_KEY = 250
"""Characters of a partition's key, as Airflow has it."""


def tell_assets(context: Context, result: Mapping[str, Any], partition_keys: Any = None) -> None:
    """Let the asset events of the task's outlets carry its result as their ``extra``.

    What the author has put there stays. Nothing that goes wrong here ends a task whose run is good.

    :param context: of the running task.
    :param result: what the task returns.
    :param partition_keys: of the partitions that were made, one or several; one event for each of them.
    """
    keys = _listed(partition_keys)
    for event in _events(context):
        event.extra = {**result, **event.extra}
        if keys:
            try:
                event.add_partitions(keys)
            except Exception as error:  # noqa: BLE001 - an alias takes none
                log.warning("partition_keys: %s", error)


def check_partitions(context: Context, partition_keys: Any) -> None:
    """Check the keys of partitions, before anything is paid for.

    :param context: of the running task.
    :param partition_keys: what the author wrote, rendered: one or several.
    :raises AirConfigError: when one is no text, is empty or too long, or nothing takes partitions here.
    """
    keys = _listed(partition_keys)
    for key in keys:
        if not isinstance(key, str) or not key.strip() or len(key) > LONGEST_KEY:
            raise AirConfigError(f"partition_keys: {key!r} is not a text of 1 to {LONGEST_KEY} characters")
    if keys and not any(hasattr(event, "add_partitions") for event in _events(context)):
        raise AirConfigError(
            f"partition_keys: {keys!r}: nothing takes them; that needs an asset in the task's outlets, and "
            f"Airflow 3.3 or later (this is {AIRFLOW_VERSION})"
        )


def _listed(keys: Any) -> list[Any]:
    return [keys] if isinstance(keys, str) else list(keys or ())


def _events(context: Context) -> Iterator[Any]:
    """Yield what becomes an event for each outlet; outlets may be of kinds that have none."""
    events: Any = context.get("outlet_events")
    outlets = getattr(context.get("task"), "outlets", None) or ()
    for outlet in outlets if events is not None else ():
        try:
            yield events[outlet]
        except (TypeError, KeyError, ValueError):
            continue
        except Exception as error:  # noqa: BLE001 - Airflow is asked for the asset of a reference
            log.warning("The event of outlet %r does not get the result: %s", outlet, error)
