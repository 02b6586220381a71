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
"""Pages from templates: all text is escaped, and nothing of a page may reach elsewhere."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["moment", "page", "seconds", "size"]

_TEMPLATES = Environment(
    loader=PackageLoader("databricks_air_local", "page/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(name: str, title: str, *, status: int = 200, alive: bool = False, **values: Any) -> web.Response:
    """Return a page.

    :param name: of the template.
    :param title: text.
    :param alive: what it shows will change: it is fetched again and again.
    :param values: what the template asks for.
    """
    values = {"words": "", **values}
    text = _TEMPLATES.get_template(name).render(title=title, alive=alive, **values)
    return web.Response(status=status, body=text.encode("utf-8", "replace"), headers=_HEADERS)


def moment(milliseconds: int) -> str:
    """Return a time as text; empty for none."""
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def seconds(start: float, end: float) -> str:
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
