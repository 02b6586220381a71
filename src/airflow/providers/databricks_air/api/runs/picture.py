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
"""A run as a page shows it: its state, why it failed, its metrics over time, and the last lines of its nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.databricks_air.api.http.call import Call
from airflow.providers.databricks_air.api.http.calls import TaskOutput, get_output
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.http.together import together
from airflow.providers.databricks_air.api.logs.calls import metric_history, mlflow_run
from airflow.providers.databricks_air.api.logs.failure import investigate
from airflow.providers.databricks_air.api.runs.calls import get_document
from airflow.providers.databricks_air.api.runs.fields import RunFields
from airflow.providers.databricks_air.api.runs.log_tail import last_lines
from airflow.providers.databricks_air.run.outcome.failure import failure_message
from airflow.providers.databricks_air.run.outcome.narration import waiting_message
from airflow.providers.databricks_air.run.outcome.result import mlflow_url, page_url

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient
    from airflow.providers.databricks_air.run.logs.lines import LogLine

__all__ = ["Curve", "RunPicture", "picture"]

T = TypeVar("T")

CURVES = 6
"""Metrics that are shown over time, the training's own first."""
NODES = 8
"""Nodes whose last lines are shown."""
LINES = 12
"""Lines of each of them."""
# Somebody waits for the page: what does not come in this time is left out.
PATIENCE = 6.0

Curve = tuple[tuple[int, float], ...]
"""Values of a metric by step."""


@dataclass(frozen=True)
class RunPicture:
    """A run at one moment.

    :param fields: what the run's document says.
    :param host: the workspace URL.
    :param now: epoch milliseconds of the look.
    :param output: what its latest attempt says beside its state.
    :param reason: why it ended without success, as the task says it; empty otherwise.
    :param curves: metrics over time.
    :param tails: the last lines by rank of the node.
    """

    fields: RunFields
    host: str
    now: int
    output: TaskOutput = field(default_factory=TaskOutput)
    reason: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    tails: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def waiting_message(self) -> str:
        """What the service says while the latest attempt waits; empty otherwise."""
        return waiting_message(self.output.status_message) if self.fields.run.is_waiting else ""

    @property
    def accelerator_hours(self) -> float:
        """The time of all accelerators over all attempts, up to the moment of the look."""
        return self.fields.accelerator_hours(self.now)

    @property
    def page_url(self) -> str:
        """The page of the run in the workspace."""
        return page_url(self.host, self.fields.run)

    @property
    def mlflow_url(self) -> str | None:
        """The page of the MLflow run of the latest attempt; None while there is none."""
        return mlflow_url(self.host, self.output.mlflow_experiment_id, self.output.mlflow_run_id)

    @property
    def experiment_url(self) -> str | None:
        """The page of the MLflow experiment; None while there is none."""
        number = self.output.mlflow_experiment_id
        return f"{self.host}/ml/experiments/{number}" if number else None


async def picture(client: AsyncClient, run_id: int, now: Callable[[], float] = time.time) -> RunPicture:
    """Look at a run: at most ``4 + CURVES`` requests and one for each of the ``NODES``, in four rounds.

    All but the run's own document is left out where it cannot be read in time.

    :param client: the workspace.
    :param run_id: id of the run.
    :param now: returns epoch seconds.
    :raises RunNotFoundError: when there is no such run.
    :raises ApiError: when the workspace does not tell.
    """
    fields = RunFields.read(await client.perform(get_document(run_id).within(PATIENCE)))
    latest = fields.run.latest
    seen = RunPicture(fields, client.credentials.host, round(now() * 1000))
    if latest is None:
        return seen
    found, tails, reason = await together(
        [
            partial(_if_there, client, get_output(latest.run_id)),
            partial(_tails, client, fields),
            partial(_reason, client, fields),
        ]
    )
    output = found or TaskOutput()
    curves = await _curves(client, output.mlflow_run_id)
    message = failure_message(fields.run, seen.page_url, reason) if reason is not None else ""
    return replace(seen, output=output, reason=message, curves=curves, tails=tails)


async def _tails(client: AsyncClient, fields: RunFields) -> dict[int, tuple[str, ...]]:
    latest = fields.run.latest
    if latest is None or not latest.start_time:
        return {}
    nodes = range(min(fields.run.nodes, NODES))
    steps = [last_lines(fields.run.run_id, node, latest.number, LINES) for node in nodes]
    found: list[list[LogLine]] = await together([partial(_take, client, step) for step in steps])
    return {node: tuple(line.text for line in lines) for node, lines in zip(nodes, found, strict=True)}


async def _reason(client: AsyncClient, fields: RunFields) -> Any:
    """Return what the log says about a failure; None for a run that has not failed."""
    if not fields.run.is_terminal or fields.run.is_success:
        return None
    return replace(await _take(client, investigate(fields.run)), tails=None)


async def _curves(client: AsyncClient, mlflow_run_id: str) -> dict[str, Curve]:
    if not mlflow_run_id:
        return {}
    mlflow = await _if_there(client, mlflow_run(mlflow_run_id))
    if mlflow is None:
        return {}
    names = sorted(mlflow.metrics, key=lambda name: (name.startswith("system/"), name))[:CURVES]
    calls = [metric_history(mlflow_run_id, name) for name in names]
    found = await together([partial(_if_there, client, call) for call in calls])
    return {name: curve for name, curve in zip(names, found, strict=True) if curve}


async def _take(client: AsyncClient, steps: Generator[Call[Any], Any, T]) -> T:
    """Send the calls that *steps* yields, and return what it returns."""
    try:
        call = next(steps)
        while True:
            try:
                answer = await client.perform(call.within(PATIENCE))
            except ApiError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _if_there(client: AsyncClient, call: Call[T]) -> T | None:
    try:
        return await client.perform(call.within(PATIENCE))
    except ApiError:
        return None
