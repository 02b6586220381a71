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
"""What the pages show of a run: plain values for the templates."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from databricks_air_local.page.plot import plot
from databricks_air_local.page.templates import moment, seconds, size
from databricks_air_local.state.tree import parent_of

if TYPE_CHECKING:
    from databricks_air_local.engine.records import Records
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.files import Files
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.state.site import Site

__all__ = ["RunView"]

_EXIT = re.compile(r"exit code (-?\d+)")
_SHOWN_LINES = 2000
_LAST_LINES = 20
_SHOWN_COLUMNS = 1000
_SHOWN_ATTEMPTS = 20
_SHOWN_FILES = 200


class RunView:
    """Looks at runs.

    :param records: logs, metrics and artifacts.
    :param files: holds the configuration that a client sent beside the command.
    """

    def __init__(self, records: Records, files: Files, clock: Clock, site: Site) -> None:
        self._records = records
        self._files = files
        self._clock = clock
        self._site = site

    def summary(self, run: Run) -> dict[str, Any]:
        """Return what the list and the head of the page say of a run."""
        name = str(run.compute["accelerator_type"]).rpartition("x")[2]
        return {
            "id": run.run_id,
            "link": f"/jobs/runs/{run.run_id}?o={self._site.workspace_id}",
            "experiment": run.experiment,
            "state": run.result or run.life,
            "compute": f"{run.compute['accelerator_count']} × {name}, {_many(run.nodes, 'node')}",
            "attempts": len(run.attempts),
            "submitted": moment(run.created),
            "duration": self._duration(run.created, 0 if run.active else run.ended or run.last.ended),
            "words": run.last.status or run.last.message,
        }

    def details(self, run: Run, *, logarithmic: bool = False) -> dict[str, Any]:
        """Return what the page of a run shows below its head.

        :param logarithmic: plots have decades.
        """
        last = run.last
        tracked = [attempt for attempt in run.attempts if attempt.mlflow_run_id][::-1]
        return {
            "run": self.summary(run),
            "facts": [*_facts(run), ("Airflow task", self._asker(run))],
            "attempts": [self._attempt(attempt) for attempt in run.attempts],
            "metrics": [self._metrics(item, logarithmic) for item in tracked[:_SHOWN_ATTEMPTS]],
            "logarithmic": logarithmic,
            "logs": [self._log(run, attempt) for attempt in reversed(run.attempts[-_SHOWN_ATTEMPTS:])],
            "failure": self._failure(run) if run.result in {"FAILED", "TIMEDOUT"} else None,
            "artifacts": [self._artifacts(run, item) for item in tracked],
            "mlflow_page": f"/ml/experiments/{last.experiment_id}" if last.experiment_id else "",
            "mlflow_run": last.mlflow_run_id,
            "command": self._text(run.commands[0]),
            "configuration": self._configuration(run),
            "body": json.dumps(run.body, indent=2),
        }

    def _attempt(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "number": attempt.number,
            "state": attempt.result or attempt.life,
            "started": moment(attempt.started),
            "duration": self._duration(attempt.started, attempt.ended),
            "words": attempt.status or attempt.message,
        }

    def _metrics(self, attempt: Attempt, logarithmic: bool) -> dict[str, Any]:
        """Return a plot of each metric that moves, and the other values by name."""
        mlflow, figures = self._records.mlflow, []
        values = list(mlflow.run(attempt.mlflow_run_id)["params"].items())
        for key, last in mlflow.last_values(attempt.mlflow_run_id).items():
            points = [(point["step"], point["value"]) for point in mlflow.history(attempt.mlflow_run_id, key)]
            moves = {step for step, value in points if isinstance(value, float) and math.isfinite(value)}
            if len(moves) > 1:
                figures.append(
                    {"name": key, "last": f"{last:.5g}", "svg": plot(points, logarithmic=logarithmic)}
                )
            else:
                values.append((key, f"{last:.5g}"))
        return {"attempt": attempt.number, "figures": figures, "others": values}

    def _log(self, run: Run, attempt: Attempt) -> dict[str, Any]:
        most = max(100, _SHOWN_LINES // run.nodes) if attempt is run.last else 200
        nodes = []
        for rank in range(run.nodes):
            stream = self._records.streams.get(run.run_id, attempt.number, rank)
            newest = stream.select(0, 2**63, ascending=False, start=None, now=self._clock.now())
            lines = [_cut(record.body) for record in islice(newest, most)][::-1]
            nodes.append({"rank": rank, "text": "\n".join(lines), "shown": most, "count": len(stream)})
        return {"attempt": attempt.number, "open": attempt is run.last, "nodes": nodes}

    def _failure(self, run: Run) -> dict[str, Any]:
        """Return the last lines of the node that failed: of the one that says so, or of the first."""
        ends = {rank: self._last_lines(run, rank) for rank in range(run.nodes)}
        failed = [rank for rank, lines in ends.items() if lines and lines[-1].startswith("ERROR: ")]
        rank = failed[0] if failed else 0
        said = _EXIT.search(ends[rank][-1]) if failed else None
        code = said.group(1) if said else ""
        return {"rank": rank, "nodes": run.nodes, "text": "\n".join(ends[rank]), "code": code}

    def _last_lines(self, run: Run, rank: int) -> list[str]:
        stream = self._records.streams.get(run.run_id, run.last.number, rank)
        newest = stream.select(0, 2**63, ascending=False, start=None, now=self._clock.now())
        return [_cut(record.body) for record in islice(newest, _LAST_LINES)][::-1]

    def _artifacts(self, run: Run, attempt: Attempt) -> dict[str, Any]:
        base = f"/jobs/runs/{run.run_id}/artifacts/{attempt.run_id}"
        found = list(self._records.artifacts.list(attempt.mlflow_run_id))
        files = [
            {"link": f"{base}/{quote(path)}", "path": path, "size": size(length)}
            for path, length in found[:_SHOWN_FILES]
        ]
        return {"attempt": attempt.number, "files": files, "count": len(found)}

    def _configuration(self, run: Run) -> str:
        return self._text(f"{_launch_directory(run)}/training_config.yaml")

    def _asker(self, run: Run) -> str:
        """Return the Airflow task that a note in the launch directory names; empty without one that can be read."""
        try:
            note = json.loads(self._text(f"{_launch_directory(run)}/airflow_owner.json") or "{}")
            index = "" if note.get("map_index", -1) == -1 else f"[{note['map_index']}]"
            where = f" at {note['airflow']}" if note.get("airflow") else ""
            return f"{note['dag_id']}.{note['task_id']}{index}, Dag run {note['run_id']}{where}"
        except (ValueError, KeyError, AttributeError, TypeError):
            return ""

    def _text(self, path: str) -> str:
        file = self._files.find(path)
        return file.read_text("utf-8", "replace") if file else ""

    def _duration(self, start: int, end: int) -> str:
        return seconds(start, end or self._clock.now() * 1000)


def _launch_directory(run: Run) -> str:
    command = run.commands[0]
    containers = "containers" in run.air["deployments"][0]
    return command.partition("/containers/")[0] if containers else parent_of(command)


def _facts(run: Run) -> list[tuple[str, object]]:
    return [
        ("Run", run.run_id),
        ("Submitted", moment(run.created)),
        ("By", run.user),
        ("Accelerators", f"{run.compute['accelerator_count']} × {run.compute['accelerator_type']}"),
        ("Nodes", run.nodes),
        ("Pool", run.compute.get("provisioned_capacity_id")),
        ("Priority", run.air.get("priority_class")),
        ("Retries", "without end" if run.max_retries < 0 else run.max_retries or "none"),
        ("Time limit of an attempt", seconds(1, run.timeout * 1000 + 1) if run.timeout else ""),
        ("Idempotency token", run.token),
    ]


def _cut(line: str) -> str:
    more = len(line) - _SHOWN_COLUMNS
    return line if more <= 0 else f"{line[:_SHOWN_COLUMNS]} … {more:,} more characters"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
