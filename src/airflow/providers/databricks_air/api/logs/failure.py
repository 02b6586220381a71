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
"""Looks into the log of a failed run for why it failed."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import LogPage, log_tail
from airflow.providers.databricks_air.api.logs.mlflow import ChunkSource
from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.logs.text import safe_lines
from airflow.providers.databricks_air.run.outcome.failure import NOTHING_FOUND, Findings, findings_of
from airflow.providers.databricks_air.run.outcome.states import Attempt, Run

__all__ = ["investigate"]

READ_LINES = 200
MOST_NODES = 64
MOST_TROUBLE = 3
TIMEOUT = 10.0


def investigate(run: Run) -> Generator[Call[Any], Any, Findings]:
    """Read the last lines of the latest attempt's nodes: yields calls, returns what they say.

    Never raises an ``ApiError``: what cannot be read says nothing.

    :param run: the finished run.
    """
    attempt = run.latest
    if attempt is None or not attempt.start_time:
        return NOTHING_FOUND
    tails: dict[int, list[LogLine]] = {}
    trouble = 0
    for node in range(min(run.nodes, MOST_NODES)):
        try:
            tails[node] = yield from _tail(run, attempt, node)
        except ApiError:
            trouble += 1
            if trouble == MOST_TROUBLE:
                break
    return findings_of(tails)


def _tail(run: Run, attempt: Attempt, node: int) -> Generator[Call[Any], Any, list[LogLine]]:
    try:
        call = log_tail(run.run_id, node, attempt.number, READ_LINES).once(timeout=TIMEOUT)
        page: LogPage = yield call
        # Newest first until now; equal times keep their order.
        records = list(page.records)[::-1]
        records.sort(key=lambda record: record[0])
    except ApiError:
        records = []
    if not records:
        lines = yield from ChunkSource(node, attempt.number, attempt.run_id).tail()
        return lines[-READ_LINES:]
    made = (
        [LogLine(node, attempt.number, text, time_ns) for text in safe_lines(body)]
        for time_ns, _, body in records
    )
    return list(itertools.chain.from_iterable(made))
