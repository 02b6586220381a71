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
"""Which nodes' logs a task prints, and the stream that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.logs.stream import LogNodes, LogStream, parse_log_nodes
from airflow.providers.databricks_air.exceptions import AirConfigError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.operators.air import AirRunOperator

__all__ = ["chosen_nodes", "log_stream"]


def chosen_nodes(operator: AirRunOperator, node_count: int) -> LogNodes | None:
    """Return the nodes that the author chose; None when no log is to be printed.

    :param operator: ``stream_logs`` and ``log_nodes`` are read.
    :param node_count: how many nodes the run has.
    :raises AirConfigError: when there is no such node.
    """
    if not operator.stream_logs:
        return None
    try:
        nodes = parse_log_nodes(operator.log_nodes)
    except ValueError as error:
        raise AirConfigError(str(error)) from None
    missing = [] if nodes == "all" else [rank for rank in nodes if rank >= node_count]
    if missing:
        raise AirConfigError(
            f"log_nodes: {missing[0]} is not a node of this run, whose nodes are 0 to {node_count - 1}. "
            'Write one of these, or "all"'
        )
    return nodes


def log_stream(
    operator: AirRunOperator, run_id: int, nodes: Any, cursor: Mapping[str, Any] | None = None
) -> LogStream | None:
    """Return the log of a run, or None when none is to be printed.

    :param operator: ``polling_interval`` is read.
    :param run_id: id of the run.
    :param nodes: the chosen nodes, as a trigger hands them on or as ``chosen_nodes`` returns them.
    :param cursor: where to go on.
    """
    if nodes is None:
        return None
    return LogStream(run_id, parse_log_nodes(nodes), cursor, longest_delay=operator.polling_interval)
