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
"""The pages for people: all runs, and one run with its attempts, logs, files and metrics."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.local.plot import plot
from airflow.providers.databricks_air.local.router import Route
from airflow.providers.databricks_air.local.submission import command_paths, node_count
from airflow.providers.databricks_air.local.tree import parent_of
from airflow.providers.databricks_air.local.wire import Refusal, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.databricks_air.local.runs import Attempt, Run
    from airflow.providers.databricks_air.local.wire import Request
    from airflow.providers.databricks_air.local.workspace import Workspace

__all__ = ["ROUTES"]

_SHOWN_RUNS = 200
_SHOWN_LINES = 2000

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --ink: CanvasText; --mark: #2f6fdb; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
a { color: var(--mark); text-decoration: none; } a:hover { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
pre { background: var(--soft); padding: .8rem; overflow: auto; max-height: 28rem; border-radius: 6px;
  font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap; }
.state { padding: .1rem .5rem; border-radius: 999px; background: var(--soft); font-size: .85rem; }
.SUCCESS { background: #1a7f3733; } .RUNNING { background: #2f6fdb33; }
.FAILED, .TIMEDOUT { background: #cf222e33; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { font-size: .85rem; }
svg { background: var(--soft); border-radius: 6px; } button { font: inherit; padding: .25rem .9rem; }
.note { opacity: .75; }
"""

# Without it the page is complete, and still: it only fetches the page again while the run is alive.
_SCRIPT = """
(function follow() {
  if (!document.querySelector("main[data-alive]")) return;
  setTimeout(async () => {
    try {
      const text = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      const main = document.querySelector("main");
      const open = [...main.querySelectorAll("details")].map((details) => details.open);
      main.replaceWith(fresh);
      fresh.querySelectorAll("details").forEach((details, i) => { details.open = open[i] ?? details.open; });
      fresh.querySelectorAll("pre.log").forEach((log) => { log.scrollTop = log.scrollHeight; });
    } catch (error) { /* the server went away: try again */ }
    follow();
  }, 1000);
})();
"""


def list_page(ws: Workspace, _request: Request) -> Reply:
    """``GET /``: the latest runs."""
    runs = list(islice(ws.newest_first(), _SHOWN_RUNS))
    rows = [
        (
            *(_link(ws, run), escape(run.experiment), _badge(run), len(run.attempts)),
            *(_time(run.created), _duration(ws, run)),
        )
        for run in runs
    ]
    heads = ("Run", "Experiment", "State", "Attempts", "Submitted", "Duration")
    table = _table(heads, rows) if rows else "<p class=note>No runs yet.</p>"
    alive = any(run.active for run in runs)
    return _page("Local AI Runtime", f"<h1>Local AI Runtime</h1>{table}", alive=alive)


def run_page(ws: Workspace, request: Request) -> Reply:
    """``GET /jobs/runs/{run_id}``: one run."""
    try:
        run = ws.run(request.params["run_id"])
    except Refusal as refusal:
        return _page(
            "Not found", f"<h1>{escape(refusal.message)}</h1><p><a href='/'>All runs</a></p>", status=404
        )
    cancel = (
        f"<form method=post action='/jobs/runs/{run.run_id}/cancel'>"
        f"<input type=hidden name=key value='{ws.page_key}'><button>Cancel run</button></form>"
        if run.active
        else ""
    )
    message = f"<p>{escape(run.last.message)}</p>" if run.last.message else ""
    parts = [
        f"<p><a href='/'>All runs</a></p>"
        f"<h1>{escape(run.experiment)} <span class=note>run {run.run_id}</span></h1>",
        f"<p>{_badge(run)} {_duration(ws, run)}</p>{message}{cancel}",
        _attempts(ws, run),
        *(_metrics(ws, attempt) for attempt in run.attempts[-1:]),
        *(_log(ws, run, attempt) for attempt in reversed(run.attempts)),
        _file(ws, run),
        f"<h2>Submit body</h2><details><summary>JSON</summary><pre>{_json(run.body)}</pre></details>",
    ]
    return _page(f"{run.experiment} - run {run.run_id}", "".join(parts), alive=run.active)


def cancel(ws: Workspace, request: Request) -> Reply:
    """``POST /jobs/runs/{run_id}/cancel``: the button of the page, which carries the page's key."""
    run = ws.run(request.params["run_id"])
    if request.body != f"key={ws.page_key}".encode():
        raise Refusal(403, "PERMISSION_DENIED", "The form is out of date: load the page again")
    ws.lifecycle.cancel(run)
    return Reply(303, headers={"Location": f"/jobs/runs/{run.run_id}"})


def experiment_page(ws: Workspace, request: Request) -> Reply:
    """``GET /ml/experiments/{id}[/runs/{run_id}…]``: leads to the run that an MLflow run belongs to."""
    owner = ws.attempt_of(request.params.get("rest", "").partition("runs/")[2].partition("/")[0])
    target = f"/jobs/runs/{owner[0].run_id}" if owner else "/"
    return Reply(303, headers={"Location": target})


def _attempts(ws: Workspace, run: Run) -> str:
    rows = [
        (
            *(attempt.number, _state(attempt.result or attempt.life), _time(attempt.started)),
            *(_seconds(ws, attempt.started, attempt.ended), node_count(run.air)),
            escape(attempt.status or attempt.message),
        )
        for attempt in run.attempts
    ]
    heads = ("Attempt", "State", "Started", "Duration", "Nodes", "Message")
    return f"<h2>Attempts</h2>{_table(heads, rows)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; the cells are HTML already."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _metrics(ws: Workspace, attempt: Attempt) -> str:
    if not attempt.mlflow_run_id:
        return ""
    figures = []
    for key in ws.mlflow.keys(attempt.mlflow_run_id):
        points = [(point["step"], point["value"]) for point in ws.mlflow.history(attempt.mlflow_run_id, key)]
        figures.append(f"<figure>{plot(points)}<figcaption>{escape(key)}</figcaption></figure>")
    return f"<h2>Metrics</h2><div class=plots>{''.join(figures)}</div>" if figures else ""


def _log(ws: Workspace, run: Run, attempt: Attempt) -> str:
    shown = []
    for node in range(node_count(run.air)):
        stream = ws.streams.get(run.run_id, attempt.number, node)
        newest = stream.select(0, 2**63, ascending=False, start=None, now=ws.clock.now())
        lines = [record.body for record in islice(newest, _SHOWN_LINES)][::-1]
        cut = f"<p class=note>The last {_SHOWN_LINES} lines.</p>" if len(lines) == _SHOWN_LINES else ""
        text = escape("\n".join(lines)) or "<span class=note>No lines yet.</span>"
        title = f"Attempt {attempt.number}, node {node}"
        opened = "open" if attempt is run.last else ""
        shown.append(
            f"<details {opened}><summary>{title}</summary>{cut}<pre class=log>{text}</pre></details>"
        )
    return f"<h2>Log of attempt {attempt.number}</h2>{''.join(shown)}"


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
    shown = f"<details open><summary>training_config.yaml</summary><pre>{escape(text)}</pre></details>"
    return f"<h2>Configuration</h2>{shown}"


def _link(ws: Workspace, run: Run) -> str:
    return f"<a href='/jobs/runs/{run.run_id}?o={ws.settings.workspace_id}'>{run.run_id}</a>"


def _badge(run: Run) -> str:
    return _state(run.last.result if not run.active else run.life)


def _state(state: str) -> str:
    return f"<span class='state {escape(state)}'>{escape(state)}</span>"


def _duration(ws: Workspace, run: Run) -> str:
    return _seconds(ws, run.created, 0 if run.active else run.last.ended)


def _seconds(ws: Workspace, start: int, end: int) -> str:
    if not start:
        return ""
    return f"{((end or ws.clock.now() * 1000) - start) / 1000:.1f} s"


def _time(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _json(value: object) -> str:
    return escape(json.dumps(value, indent=2))


def _page(title: str, body: str, *, alive: bool = False, status: int = 200) -> Reply:
    flag = " data-alive" if alive else ""
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width'><link rel=icon href='data:,'>"
        f"<style>{_STYLE}</style><main{flag}>{body}</main><script>{_SCRIPT}</script></html>"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Reply(status, text.encode("utf-8", "replace"), headers)


_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

ROUTES = [
    Route("GET", "/", list_page, page=True),
    Route("GET", "/jobs/runs/{run_id}", run_page, page=True),
    Route("POST", "/jobs/runs/{run_id}/cancel", cancel, page=True),
    Route("GET", "/ml/experiments/{rest:path}", experiment_page, page=True),
]
