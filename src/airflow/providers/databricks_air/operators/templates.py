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
"""Templates that keep the type of what they stand for, and what Airflow shows of a rendered task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

__all__ = ["LONGEST_NAME", "TypedTemplates", "expression_value", "map_name"]

# Airflow 2 keeps 250 characters.
LONGEST_NAME = 240


class TypedTemplates(BaseOperator):
    """Renders the template fields of a task with one rule, wherever a text stands.

    A text that is one expression, such as ``"{{ params.lr }}"``, becomes the value of the expression: a number stays
    a number. Any other text with templates becomes text, as everywhere in Airflow.
    """

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render also in a ``RunConfig``, and leave ``{{secrets/scope/key}}`` to the platform."""
        from airflow.providers.databricks_air.lifecycle.launch.config_source import render

        environment = jinja_env or self.get_template_env()

        def airflow(part: Any, env: jinja2.Environment = environment) -> Any:
            return super(TypedTemplates, self).render_template(part, context, env, seen_oids)

        return render(content, lambda part: expression_value(part, environment, airflow))

    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Context, jinja_env: Any, seen_oids: Any
    ) -> None:
        """Show what the fields come to, and name a mapped task; Airflow renders mapped tasks through this, too."""
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
        if parent is not self:
            return
        self._describe(context)
        known: Any = context
        if known.get("map_index_template") is None and known["ti"].map_index not in {None, -1}:
            name = self._name_of_mapped()
            known["map_index_template"] = f"{{% raw %}}{name}{{% endraw %}}" if name else None

    def _describe(self, context: Context) -> None:
        """Fill the template fields that only show something."""

    def _name_of_mapped(self) -> str:
        """Return what tells this task from the others that it was mapped with; empty for its number."""
        return ""


def expression_value(
    content: Any, environment: jinja2.Environment, airflow: Callable[[Any, jinja2.Environment], Any]
) -> Any:
    """Return the plain value of a text that is one expression; what Airflow renders of anything else.

    :param content: a text, or what contains texts.
    :param environment: that Airflow renders with.
    :param airflow: renders with an environment.
    """
    if not isinstance(content, str) or not _is_one_expression(content, environment):
        return airflow(content, environment)
    values: list[Any] = []

    def keep(value: Any) -> Any:
        values.append(value)
        return value

    text = airflow(content, environment.overlay(finalize=keep))
    return _plain(values[0], text) if values else text


def map_name(overrides: Any) -> str:
    """Return a name for one task of a sweep, such as ``lr=0.1, layers=2``; empty without overrides.

    :param overrides: rendered, as a mapping or as a list of ``path=value``.
    """
    if isinstance(overrides, Mapping):
        pairs = [(str(path), str(value)) for path, value in overrides.items()]
    elif isinstance(overrides, Sequence) and not isinstance(overrides, str):
        pairs = [tuple(map(str.strip, str(each).partition("=")[::2])) for each in overrides]  # type: ignore[misc]
    else:
        return ""
    last = [path.rpartition(".")[2] for path, _ in pairs]
    names = [name if last.count(name) == 1 else path for name, (path, _) in zip(last, pairs, strict=True)]
    text = ", ".join(f"{name}={value}" for name, (_, value) in zip(names, pairs, strict=True))
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _is_one_expression(text: str, environment: jinja2.Environment) -> bool:
    if "{{" not in text:
        return False
    from jinja2 import TemplateSyntaxError, nodes

    try:
        body = environment.parse(text).body
    except TemplateSyntaxError:
        # Airflow says it better.
        return False
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return False
    parts = [part for part in body[0].nodes if not _is_blank(part)]
    return len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)


def _is_blank(part: Any) -> bool:
    return not str(getattr(part, "data", "x")).strip()


def _plain(value: Any, text: Any) -> Any:
    """Return a value that JSON knows, with lazy sequences of XComs read; the text of any other."""
    if value is None or isinstance(value, bool | int | float | str | Mapping):
        return value
    return list(value) if isinstance(value, Sequence) else text
