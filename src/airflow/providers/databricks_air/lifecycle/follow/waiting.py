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
"""The wait on a worker, and which nodes' logs it prints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.databricks_air.api.logs.stream import LogNodes, LogStream, parse_log_nodes
from airflow.providers.databricks_air.api.watch.watch import (
    Ended,
    Event,
    Found,
    Lines,
    Said,
    WatchPlan,
    watch,
)
from airflow.providers.databricks_air.exceptions import AirConfigError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.calls import TaskOutput
    from airflow.providers.databricks_air.api.http.client import SyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["LogChoice", "follow", "tell"]


@dataclass(frozen=True)
class LogChoice:
    """Which nodes' logs a task prints, as its author chose.

    :param stream_logs: whether any log is printed.
    :param log_nodes: a rank, a list of ranks, or ``"all"``.
    :param polling_interval: seconds between two readings of a quiet log.
    """

    stream_logs: bool
    log_nodes: int | Sequence[int] | Literal["all"]
    polling_interval: float

    def nodes(self, node_count: int) -> LogNodes | None:
        """Return the nodes of a run; None when no log is to be printed.

        :param node_count: how many nodes the run has.
        :raises AirConfigError: when there is no such node.
        """
        if not self.stream_logs:
            return None
        try:
            nodes = parse_log_nodes(self.log_nodes)
        except ValueError as error:
            raise AirConfigError(str(error)) from None
        missing = [] if nodes == "all" else [rank for rank in nodes if rank >= node_count]
        if missing:
            raise AirConfigError(
                f"log_nodes: {missing[0]} is not a node of this run, whose nodes are 0 to {node_count - 1}. "
                'Write one of these, or "all"'
            )
        return nodes

    def nodes_of(self, run: Run) -> LogNodes | None:
        """Return the chosen nodes that a run has, which may be one of an older configuration."""
        if not self.stream_logs:
            return None
        nodes = parse_log_nodes(self.log_nodes)
        return nodes if nodes == "all" else tuple(rank for rank in nodes if rank < max(1, run.nodes))

    def stream(self, run_id: int, nodes: Any, cursor: Mapping[str, Any] | None = None) -> LogStream | None:
        """Return the log of a run, or None when none is to be printed.

        :param run_id: id of the run.
        :param nodes: the chosen nodes, as a trigger hands them on or as :meth:`nodes` returns them.
        :param cursor: where to go on.
        """
        if nodes is None:
            return None
        return LogStream(run_id, parse_log_nodes(nodes), cursor, longest_delay=self.polling_interval)


def follow(
    client: SyncClient,
    plan: WatchPlan,
    stream: LogStream | None,
    log: Any,
    renew: Callable[[], Credentials],
    found: Callable[[TaskOutput], None] = lambda _: None,
) -> Ended:
    """Wait for the end of a run in this thread, and print what is worth it.

    :param client: of the workspace.
    :param plan: which run, and how.
    :param stream: its log; None to print none.
    :param log: where to print.
    :param renew: returns fresh credentials after they were refused.
    :param found: called with the ids of an attempt's MLflow run as soon as they are known.
    """
    for event in watch(client, plan, stream=stream, renew=renew):
        if isinstance(event, Ended):
            return event
        if isinstance(event, Found):
            found(event.output)
        tell(log, event)
    raise AssertionError("a watch ends with Ended")


def tell(log: Any, event: Event) -> None:
    """Print one event of a watch."""
    if isinstance(event, Said):
        log.log(logging.WARNING if event.is_trouble else logging.INFO, "%s", event.text)
    elif isinstance(event, Lines):
        for line in event.lines:
            log.info("%s", line.text)
