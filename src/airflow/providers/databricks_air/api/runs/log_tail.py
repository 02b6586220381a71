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
"""The last lines of a node's log, without reading what stands before them."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.logs.calls import LogPage, log_tail
from airflow.providers.databricks_air.api.logs.mlflow import ChunkSource
from airflow.providers.databricks_air.run.logs.lines import LogLine, LogRecord
from airflow.providers.databricks_air.run.logs.text import safe_lines
from airflow.providers.databricks_air.run.outcome.states import Attempt

__all__ = ["last_lines", "stored_lines"]

_PAGE = 1000


def last_lines(run_id: int, node: int, attempt: int, count: int) -> Generator[Call[Any], Any, list[LogLine]]:
    """Read newest-first pages until there are enough: yields calls, returns lines, oldest first.

    Returns none where the log endpoint has none or cannot be asked: the stored pieces may have them then.

    :param run_id: id of the run.
    :param node: rank of the node.
    :param attempt: number of the attempt, counted from 0.
    :param count: how many lines at most.
    """
    records: list[LogRecord] = []
    first = call = log_tail(run_id, node, attempt, min(count, _PAGE))
    token = ""
    while len(records) < count:
        try:
            page: LogPage = yield call
        except ApiError:
            return []
        records += page.records
        if page.next_token in {"", token}:
            break
        token = page.next_token
        call = replace(first, query={**first.query, "page_token": token})
    # Newest first until now; records of the same time keep their order.
    records.reverse()
    records.sort(key=lambda record: record[0])
    made = ([LogLine(node, attempt, text, time) for text in safe_lines(body)] for time, _, body in records)
    return list(itertools.chain.from_iterable(made))[-count:]


def stored_lines(
    run_id: int, node: int, attempt: Attempt, count: int
) -> Generator[Call[Any], Any, list[LogLine]]:
    """Return the last lines of a node from wherever they are kept: yields calls, returns lines, oldest first.

    :param run_id: id of the run.
    :param node: rank of the node.
    :param attempt: which try of the run.
    :param count: how many lines at most.
    :raises ApiError: when the pieces that MLflow keeps cannot be read either.
    """
    lines = yield from last_lines(run_id, node, attempt.number, count)
    if not lines:
        lines = yield from ChunkSource(node, attempt.number, attempt.run_id).tail()
    return lines[-count:]
