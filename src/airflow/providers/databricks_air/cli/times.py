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
"""Times and lengths of time as text views show them."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.databricks_air.run.outcome.narration import duration

__all__ = ["length", "moment"]


def moment(milliseconds: int) -> str:
    """Return a time such as ``2026-01-02 15:04 UTC``; ``N/A`` for none.

    :param milliseconds: since the epoch; 0 for none.
    """
    if milliseconds <= 0:
        return "N/A"
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def length(seconds: int | None, *, is_running: bool) -> str:
    """Return a length of time such as ``3m12s``; ``N/A`` for none.

    :param seconds: None before the start.
    :param is_running: whether it grows still.
    """
    if seconds is None:
        return "N/A"
    return f"{duration(seconds)} (running)" if is_running else duration(seconds)
