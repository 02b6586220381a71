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
"""What the watcher measures, as metrics of Airflow."""

from __future__ import annotations

import contextlib

from airflow.providers.databricks_air.version_compat import metrics_sink

__all__ = ["AirflowMeasure"]


class AirflowMeasure:
    """Hands numbers to Airflow's ``Stats``; a metrics backend that fails costs a number, never a run.

    :param conn_id: the connection, a tag of each number.
    """

    __slots__ = ("_tags",)

    def __init__(self, conn_id: str) -> None:
        self._tags = {"connection": conn_id}

    def gauge(self, name: str, value: float) -> None:
        """Set a number."""
        with contextlib.suppress(Exception):
            metrics_sink().gauge(name, value, tags=self._tags)

    def count(self, name: str, value: int) -> None:
        """Add to a number."""
        with contextlib.suppress(Exception):
            metrics_sink().incr(name, value, tags=self._tags)
