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
"""``get``: one run in full."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.runs.owner import task_of
from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import (
    add_output_option,
    answer,
    link,
    note,
    print_data,
    state,
    table,
)
from airflow.providers.databricks_air.cli.run_ids import run_id
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace
from airflow.providers.databricks_air.cli.times import length, moment
from airflow.providers.databricks_air.run.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from airflow.providers.databricks_air.api.runs.description import RunDescription

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "run_id", nargs="+", metavar="JOB_RUN_ID", help="id of the run; 'get run JOB_RUN_ID' is the same"
    )
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print a run; return 1 when there is none, or when the workspace does not tell."""
    return answer(args, _get)


def _get(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.api.runs.description import describe

    words = args.run_id[1:] if args.run_id[0] == "run" else args.run_id
    if len(words) != 1:
        raise CommandError("get shows one run: name one JOB_RUN_ID", exit_code=2)
    number = run_id(words[0])
    client = workspace(args)
    description = client.run(describe(client.calls, number))
    if description.training_config is None and description.fields.launch_directory:
        note(f"The run configuration in {description.fields.launch_directory} cannot be read")
    print_data(args, description.to_json(), lambda to: _show(to, description))
    return 0


def _show(to: Console, description: RunDescription) -> None:
    """Print the page, the configuration, the table of fields, and the attempts where there are several."""
    data = description.to_json()
    to.print(link(to, "View the run in the workspace", data["dashboard_url"]))
    to.print()
    if data["training_config"]:
        to.print("Training configuration", style="bold")
        for line in _readable(data["training_config"]).rstrip().splitlines():
            to.print(f"  {line}", soft_wrap=True)
        to.print()
    table(to, ("", ""), _fields(to, description, data))
    if len(data["attempts"]) > 1:
        to.print()
        _attempts(to, data)
    if data["termination_reason"]:
        to.print()
        to.print(f"Termination reason: {data['termination_reason']}")


def _readable(text: str) -> str:
    """Return a YAML document with its long texts as blocks; what is no such document stays as it is."""
    from airflow.providers.databricks_air.run.document.reader import read_yaml
    from airflow.providers.databricks_air.run.document.writer import write_yaml

    try:
        document, _ = read_yaml(text)
    except ConfigError:
        return text
    return write_yaml(document) if document is not None else text


def _fields(to: Console, description: RunDescription, data: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    fields = description.fields
    word = f"{fields.run.phase} ({data['status_message']})" if data["status_message"] else fields.run.phase
    yield "Run ID", data["run_id"]
    yield "Status", state(word)
    yield "Submitted", moment(fields.times[0])
    yield "Retries", str(data["attempt_number"])
    yield "Duration", length(data["duration_seconds"], is_running=not fields.run.is_terminal)
    yield "Experiment", fields.experiment_name or "N/A"
    yield "MLflow Run", link(to, data["mlflow_run_name"] or data["mlflow_url"] or "N/A", data["mlflow_url"])
    yield "User", data["user"] or "N/A"
    yield "Accelerators", fields.accelerators or "N/A"
    for name, value in (("Pool", data["pool_id"]), ("Usage policy", data["usage_policy_id"])):
        if value:
            yield name, value
    if data["sweep"]:
        yield "Sweep", _sweep(data["sweep"])
    if owner := data["owner"]:
        yield "Airflow task", f"{task_of(owner)}, run {owner.get('run_id')}, try {owner.get('try_number')}"


def _sweep(counts: dict[str, int]) -> str:
    """Return the counts of a for-each run in words: ``3 of 8 completed: 2 succeeded, 1 failed; 2 active``."""
    ended = f"{counts['succeeded']} succeeded, {counts['failed']} failed"
    return f"{counts['completed']} of {counts['total']} completed: {ended}; {counts['active']} active"


def _attempts(to: Console, data: dict[str, Any]) -> None:
    rows = (
        (
            str(attempt["attempt_number"]),
            state(attempt["status"]),
            (attempt["started_at"] or "N/A")[:19],
            length(attempt["duration_seconds"], is_running=False),
            link(to, "logs" if attempt["mlflow_url"] else "N/A", attempt["mlflow_url"]),
        )
        for attempt in data["attempts"]
    )
    table(to, ("Attempt", "Status", "Started", "Duration", "MLflow Run"), rows)
