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
"""Reads what a function that ran on a node returned."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.runs.log_tail import stored_lines
from airflow.providers.databricks_air.run.outcome.returned import (
    LONGEST_RESULT,
    PIECE,
    Returned,
    parse_returned,
)
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["read_returned"]

# The parts of the longest result, and what other processes of the node print behind it.
_LINES = LONGEST_RESULT // PIECE + 1000


def read_returned(run: Run) -> Generator[Call[Any], Any, Returned | None]:
    """Look for the result in the log of the first node: yields calls, returns it, or None while there is none.

    :param run: a run that has ended.
    :raises ApiError: when the stored log cannot be read.
    """
    if run.latest is None:
        return None
    lines = yield from stored_lines(run.run_id, 0, run.latest, _LINES)
    return parse_returned(line.text for line in lines)
