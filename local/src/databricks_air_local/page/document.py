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
"""What the pages for people are made of: one style, one small script, tables and facts; all text is escaped."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING

from databricks_air_local.http.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["document", "facts", "moment", "seconds", "shown_json", "size", "state", "table"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --ink: CanvasText; --mark: #2f6fdb;
  --good: #1a7f37; --bad: #cf222e; --idle: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --mark: #6ea8fe; --good: #4ac26b; --bad: #ff7b72; --idle: #d4a72c; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
header { border-bottom: 1px solid var(--line); padding: .6rem 0; }
header div, main { max-width: 70rem; margin: 0 auto; padding: 0 1.2rem; }
header a { color: inherit; font-weight: 600; }
main { padding-bottom: 3rem; }
h1 { font-size: 1.5rem; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
a { color: var(--mark); text-decoration: none; } a:hover { text-decoration: underline; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; font-size: .82rem; opacity: .7; white-space: nowrap; }
td.n { white-space: nowrap; font-variant-numeric: tabular-nums; }
tr:hover td { background: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(17.5rem, 1fr)); gap: .7rem 1.5rem; margin: 1rem 0; }
dt { font-size: .82rem; opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
pre, .log { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0 0; }
pre { padding: .7rem .9rem; overflow: auto; max-height: 28rem; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, monospace; tab-size: 4; }
.log { display: flex; flex-direction: column-reverse; overflow: auto; max-height: 28rem; }
.log pre { border: 0; background: none; max-height: none; overflow: visible; margin: 0; }
details { margin: .5rem 0; } summary { cursor: pointer; }
.state { padding: .12rem .6rem; border-radius: 999px; font-size: .8rem; font-weight: 600; white-space: nowrap;
  border: 1px solid currentColor; color: var(--idle); }
.SUCCESS { color: var(--good); } .RUNNING { color: var(--mark); }
.FAILED, .TIMEDOUT, .INTERNAL_ERROR { color: var(--bad); } .CANCELED, .SKIPPED { color: inherit; opacity: .7; }
.head { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; }
.head { margin: 1.4rem 0 .6rem; } .head h1 { margin: 0; } .head form { margin-left: auto; }
.failure { border-left: 4px solid var(--bad); background: var(--soft); padding: .5rem .9rem; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .6rem .7rem .3rem; }
figcaption { display: flex; justify-content: space-between; gap: 1rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
button { font: inherit; font-weight: 600; padding: .3rem 1rem; border-radius: 6px; cursor: pointer;
  background: none; border: 1px solid var(--bad); color: var(--bad); }
button:hover { background: var(--bad); color: Canvas; }
.note { opacity: .7; } .away::before { content: "The server does not answer; trying again."; color: var(--bad); }
"""

# Without it the page is complete, and still: it only fetches the page again while the run is alive, less often
# when that takes the server long, and leaves what was opened or scrolled as it was.
_SCRIPT = """
(function follow(wait) {
  if (!document.querySelector("main[data-alive]")) return;
  setTimeout(async () => {
    const began = performance.now(), main = document.querySelector("main");
    try {
      const text = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      const old = (id, tag) => [...main.querySelectorAll(tag)].find((item) => item.dataset.id === id);
      fresh.querySelectorAll("details").forEach((item) => {
        item.open = (old(item.dataset.id, "details") ?? item).open;
      });
      const scrolled = [...fresh.querySelectorAll(".log")].map((item) => [item, old(item.dataset.id, ".log")]);
      const places = scrolled.map(([, before]) => before?.scrollTop ?? 0);
      main.replaceWith(fresh);
      scrolled.forEach(([item], i) => { item.scrollTop = places[i]; });
    } catch (error) { main.classList.add("away"); }
    follow(Math.max(1000, 10 * (performance.now() - began)));
  }, wait);
})(1000);
"""

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def document(title: str, body: str, *, alive: bool = False, status: int = 200) -> Reply:
    """Return a page.

    :param title: text.
    :param body: HTML.
    :param alive: what it shows will change: it is fetched again and again.
    """
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'><link rel=icon href='data:,'>"
        f"<style>{_STYLE}</style><header><div><a href='/'>Local AI Runtime</a></div></header>"
        f"<main{' data-alive' if alive else ''}>{body}</main><script>{_SCRIPT}</script></html>"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Reply(status, text.encode("utf-8", "replace"), headers)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], wraps: Sequence[str] = ()) -> str:
    """Return a table.

    :param heads: the titles of the columns.
    :param rows: the cells, which are HTML already.
    :param wraps: the columns whose cells may be broken into lines.
    """
    top = "".join(f"<th>{head}" for head in heads)
    kinds = ["" if head in wraps else " class=n" for head in heads]
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}' for kind, cell in zip(kinds, row, strict=True))}" for row in rows
    )
    return f"<div class=wide><table><tr>{top}{body}</table></div>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return names and values side by side; the values are text, and empty ones are left out."""
    shown = (f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in pairs if value)
    return f"<dl>{''.join(shown)}</dl>"


def state(word: str) -> str:
    """Return the badge of a state."""
    return f"<span class='state {escape(word)}'>{escape(word)}</span>"


def moment(milliseconds: int) -> str:
    """Return a time as text; empty for none."""
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def seconds(start: int, end: float) -> str:
    """Return the time between two moments (milliseconds) as text; empty before the first."""
    if not start:
        return ""
    passed = max(0.0, end - start) / 1000
    if passed < 60:
        return f"{passed:.1f} s"
    minutes, rest = divmod(round(passed), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(count: int) -> str:
    """Return a number of bytes as text."""
    for unit, bound in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= bound:
            return f"{count / bound:.1f} {unit}"
    return f"{count} bytes"


def shown_json(value: object) -> str:
    """Return JSON as HTML."""
    return escape(json.dumps(value, indent=2))
