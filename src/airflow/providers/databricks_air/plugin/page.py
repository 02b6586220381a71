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
"""Templates and the headers that go with every page."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.plugin.plot import plot
from airflow.providers.databricks_air.run.outcome.narration import duration

if TYPE_CHECKING:
    from fastapi.responses import HTMLResponse
    from jinja2 import Environment

__all__ = ["page"]


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page: no script but ours runs in it, and nobody but Airflow frames it.

    :param template: its name.
    :param status: HTTP status.
    :param values: what the template asks for; text is escaped.
    """
    from fastapi.responses import HTMLResponse

    environment, policy = _environment()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    text = environment.get_template(template).render(values)
    return HTMLResponse(text.encode("utf-8", "replace"), status_code=status, headers=headers)


@cache
def _environment() -> tuple[Environment, str]:
    """Return the templates, and the policy that allows the one style and the one script that are in them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("airflow.providers.databricks_air.plugin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"moment": _moment, "duration": duration, "plot": plot, "number": _number})
    sources = [environment.get_template(name).render() for name in ("style.css", "follow.js")]
    style, script = (f"'sha256-{_digest(source)}'" for source in sources)
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    return environment, policy


def _digest(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _moment(milliseconds: int) -> str:
    return (
        f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M:%S}"
        if milliseconds
        else ""
    )


def _number(value: float) -> str:
    """Return a number of hours: two digits after the point below 100."""
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
