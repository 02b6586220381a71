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
"""A page for people: the runs, and one run with its attempts, logs, configuration and metrics."""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from databricks_air_local.api.artifacts import artifact_files, read_artifact
from databricks_air_local.api.submission import command_paths, node_count
from databricks_air_local.http.router import Route
from databricks_air_local.http.wire import Refusal, Reply
from databricks_air_local.page.document import (
    document,
    facts,
    moment,
    seconds,
    shown_json,
    size,
    state,
    table,
)
from databricks_air_local.page.plot import plot
from databricks_air_local.state.tree import parent_of

if TYPE_CHECKING:
    from databricks_air_local.http.wire import Request
    from databricks_air_local.state.runs import Attempt, Run
    from databricks_air_local.workspace import Workspace

__all__ = ["ROUTES"]

_SHOWN_RUNS = 200
_SHOWN_LINES = 2000
_SHOWN_COLUMNS = 1000
_SHOWN_ATTEMPTS = 20
_SHOWN_FILES = 200
_OPEN_PLOTS = 6


def list_page(ws: Workspace, _request: Request) -> Reply:
    """``GET /``: the latest runs."""
    runs = list(islice(ws.newest_first(), _SHOWN_RUNS + 1))
    rows = [
        (
            *(_link(ws, run), escape(run.experiment), state(_word(run)), escape(_compute(run))),
            *(len(run.attempts), moment(run.created), _duration(ws, run), escape(_words(run))),
        )
        for run in runs[:_SHOWN_RUNS]
    ]
    heads = ("Run", "Experiment", "State", "Accelerators", "Attempts", "Submitted", "Duration", "Message")
    counts = Counter(_word(run) for run in ws.newest_first())
    summary = "".join(f"<span>{state(word)} {count}</span>" for word, count in counts.most_common())
    body = f"<p class=head>{summary}</p>{table(heads, rows, ('Experiment', 'Message'))}"
    if not runs:
        body = (
            f"<p>No runs yet. Clients reach this server as the workspace <code>{escape(ws.url)}</code>, with "
            "the token that it printed when it started.</p>"
        )
    if len(runs) > _SHOWN_RUNS:
        body += f"<p class=note>The latest {_SHOWN_RUNS} runs.</p>"
    alive = any(run.active for run in runs) or not runs
    return document("Local AI Runtime", f"<h1>Runs</h1>{body}", alive=alive)


def run_page(ws: Workspace, request: Request) -> Reply:
    """``GET /jobs/runs/{run_id}``: one run."""
    try:
        run = ws.run(request.params["run_id"])
    except Refusal as refusal:
        shown = f"<h1>{escape(refusal.message)}</h1><p><a href='/'>All runs</a></p>"
        return document("Not found", shown, status=404)
    cancel_form = (
        f"<form method=post action='/jobs/runs/{run.run_id}/cancel'>"
        f"<input type=hidden name=key value='{ws.page_key}'><button>Cancel run</button></form>"
        if run.active and not run.cancelled
        else ""
    )
    parts = [
        f"<div class=head><h1>{escape(run.experiment)}</h1>{state(_word(run))}"
        f"<span class=note>{_duration(ws, run)}</span>{cancel_form}</div>",
        _words(run) and f"<p class={'note' if run.active else 'failure'}>{escape(_words(run))}</p>",
        _facts(run),
        _attempts(ws, run),
        _metrics(ws, run.last),
        *(_log(ws, run, attempt) for attempt in reversed(run.attempts[-_SHOWN_ATTEMPTS:])),
        _artifacts(ws, run, run.last),
        _file(ws, run),
        f"<h2>Submit body</h2><details data-id=body><summary>JSON</summary><pre>{shown_json(run.body)}</pre></details>",
    ]
    return document(f"{run.experiment} - run {run.run_id}", "".join(parts), alive=run.active)


def cancel(ws: Workspace, request: Request) -> Reply:
    """``POST /jobs/runs/{run_id}/cancel``: the button of the page, which carries the page's key."""
    run = ws.run(request.params["run_id"])
    if request.body != f"key={ws.page_key}".encode():
        raise Refusal(403, "PERMISSION_DENIED", "The form is out of date: load the page again")
    ws.lifecycle.cancel(run)
    return Reply(303, headers={"Location": f"/jobs/runs/{run.run_id}"})


def artifact(ws: Workspace, request: Request) -> Reply:
    """``GET /jobs/runs/{run_id}/artifacts/{task_run_id}/{path}``: a file to look at, or to keep."""
    run, path = ws.run(request.params["run_id"]), request.params["path"].strip("/")
    numbers = {str(attempt.run_id): attempt for attempt in run.attempts}
    attempt = numbers.get(request.params["task"])
    reply = read_artifact(ws, attempt.mlflow_run_id, path) if attempt and attempt.mlflow_run_id else None
    if reply is None:
        return document("Not found", f"<h1>Run {run.run_id} has no such file.</h1>", status=404)
    name = quote(path.rpartition("/")[2])
    shown = path.endswith((".txt", ".log", ".json", ".yaml", ".yml", ".csv", ".py", ".md"))
    reply.headers.update(
        {
            "Content-Type": "text/plain; charset=utf-8" if shown else "application/octet-stream",
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return reply


def experiment_page(ws: Workspace, request: Request) -> Reply:
    """``GET /ml/experiments/{id}[/runs/{run_id}…]``: leads to the run that an MLflow run belongs to."""
    owner = ws.attempt_of(request.params.get("rest", "").partition("runs/")[2].partition("/")[0])
    target = f"/jobs/runs/{owner[0].run_id}" if owner else "/"
    return Reply(303, headers={"Location": target})


def _facts(run: Run) -> str:
    compute = run.air["deployments"][0]["compute"]
    return facts(
        [
            ("Run", run.run_id),
            ("Submitted", moment(run.created)),
            ("By", run.user),
            ("Accelerators", _compute(run)),
            ("Pool", compute.get("provisioned_capacity_id")),
            ("Priority", run.air.get("priority_class")),
            ("Retries", "without end" if run.max_retries < 0 else run.max_retries or "none"),
            ("Time limit of an attempt", seconds(1, run.timeout * 1000 + 1) if run.timeout else ""),
            ("MLflow run", run.last.mlflow_run_id),
            ("Idempotency token", run.body.get("idempotency_token")),
        ]
    )


def _compute(run: Run) -> str:
    compute, nodes = run.air["deployments"][0]["compute"], node_count(run.air)
    name = str(compute["accelerator_type"]).rpartition("x")[2]
    return f"{compute['accelerator_count']} × {name}, {_many(nodes, 'node')}"


def _attempts(ws: Workspace, run: Run) -> str:
    rows = [
        (
            *(attempt.number, state(attempt.result or attempt.life), moment(attempt.started)),
            _seconds(ws, attempt.started, attempt.ended),
            escape(attempt.status or attempt.message),
        )
        for attempt in run.attempts
    ]
    heads = ("Attempt", "State", "Started", "Duration", "Message")
    return f"<h2>Attempts</h2>{table(heads, rows, ('Message',))}"


def _metrics(ws: Workspace, attempt: Attempt) -> str:
    """Return a plot of each metric that moves, and the other values as a table."""
    if not attempt.mlflow_run_id:
        return ""
    run = ws.mlflow.run(attempt.mlflow_run_id)
    figures = []
    single = [(escape(key), escape(value)) for key, value in run["params"].items()]
    for key, last in ws.mlflow.last_values(attempt.mlflow_run_id).items():
        points = [(point["step"], point["value"]) for point in ws.mlflow.history(attempt.mlflow_run_id, key)]
        if len({step for step, value in points if isinstance(value, float) and math.isfinite(value)}) > 1:
            shown = f"<b>{escape(key)}</b><span class=note>{last:.5g}</span>"
            figures.append(f"<figure><figcaption>{shown}</figcaption>{plot(points)}</figure>")
        else:
            single.append((escape(key), f"{last:.5g}"))
    plots = f"<h2>Metrics</h2>{_plots(figures[:_OPEN_PLOTS])}" if figures else ""
    if len(figures) > _OPEN_PLOTS:
        more = _many(len(figures) - _OPEN_PLOTS, "more metric")
        plots += (
            f"<details data-id=metrics><summary>{more}</summary>{_plots(figures[_OPEN_PLOTS:])}</details>"
        )
    values = f"<h2>Parameters and values</h2>{table(('Name', 'Value'), single, ('Name', 'Value'))}"
    return plots + (values if single else "")


def _plots(figures: list[str]) -> str:
    return f"<div class=plots>{''.join(figures)}</div>"


def _log(ws: Workspace, run: Run, attempt: Attempt) -> str:
    shown, nodes = [], node_count(run.air)
    most = max(100, _SHOWN_LINES // nodes) if attempt is run.last else 200
    for node in range(nodes):
        stream = ws.streams.get(run.run_id, attempt.number, node)
        newest = stream.select(0, 2**63, ascending=False, start=None, now=ws.clock.now())
        lines = [_cut(record.body) for record in islice(newest, most)][::-1]
        text = escape("\n".join(lines)) or f"<span class=note>No lines{' yet' if run.active else ''}.</span>"
        there = _many(len(stream), "line")
        count = f"the last {most:,} of {there}" if len(stream) > most else there
        name = f"{attempt.number}-{node}"
        shown.append(
            f"<details data-id='{name}' {'open' if attempt is run.last else ''}><summary>Node {node} "
            f"<span class=note>{count}</span></summary>"
            f"<div class=log data-id='{name}' tabindex=0><pre>{text}</pre></div></details>"
        )
    which = f" of attempt {attempt.number}" if len(run.attempts) > 1 else ""
    return f"<h2>Log{which}</h2>{''.join(shown)}"


def _artifacts(ws: Workspace, run: Run, attempt: Attempt) -> str:
    found = (
        list(islice(artifact_files(ws, attempt.mlflow_run_id), _SHOWN_FILES)) if attempt.mlflow_run_id else []
    )
    if not found:
        return ""
    base = f"/jobs/runs/{run.run_id}/artifacts/{attempt.run_id}"
    rows = [(f"<a href='{base}/{quote(path)}'>{escape(path)}</a>", size(length)) for path, length in found]
    return (
        f"<h2>Artifacts</h2><details data-id=artifacts {'open' if len(rows) < 20 else ''}>"
        f"<summary>{_many(len(rows), 'file')}</summary>{table(('File', 'Size'), rows, ('File',))}</details>"
    )


def _file(ws: Workspace, run: Run) -> str:
    deployment = run.air["deployments"][0]
    command = command_paths(run.air)[0]
    directory = command.partition("/containers/")[0] if "containers" in deployment else parent_of(command)
    path = f"{directory}/training_config.yaml"
    tree = ws.tree_of(path)
    entry = tree.find(path)
    if entry is None or entry.blob is None:
        return ""
    text = tree.blob(entry).read_text("utf-8", "replace")
    return (
        f"<h2>Configuration</h2><details data-id=config open><summary>training_config.yaml</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def _cut(line: str) -> str:
    more = len(line) - _SHOWN_COLUMNS
    return line if more <= 0 else f"{line[:_SHOWN_COLUMNS]} … {more:,} more characters"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _link(ws: Workspace, run: Run) -> str:
    return f"<a href='/jobs/runs/{run.run_id}?o={ws.settings.workspace_id}'>{run.run_id}</a>"


def _word(run: Run) -> str:
    return run.last.result if not run.active else run.life


def _words(run: Run) -> str:
    return run.last.status or run.last.message


def _duration(ws: Workspace, run: Run) -> str:
    return _seconds(ws, run.created, 0 if run.active else run.last.ended)


def _seconds(ws: Workspace, start: int, end: int) -> str:
    return seconds(start, end or ws.clock.now() * 1000)


ROUTES = [
    Route("GET", "/", list_page, page=True),
    Route("GET", "/jobs/runs/{run_id}", run_page, page=True),
    Route("POST", "/jobs/runs/{run_id}/cancel", cancel, page=True),
    Route("GET", "/jobs/runs/{run_id}/artifacts/{task}/{path:path}", artifact, page=True),
    Route("GET", "/ml/experiments/{rest:path}", experiment_page, page=True),
]
