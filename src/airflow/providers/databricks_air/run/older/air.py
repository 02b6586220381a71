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
"""Older forms of the run configuration → today's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from airflow.providers.databricks_air.run.config.older_names import OlderName, older_names
from airflow.providers.databricks_air.run.config.parts.accelerators import model_of
from airflow.providers.databricks_air.run.config.schema.fields import root
from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Node, Scalar
from airflow.providers.databricks_air.run.older.draft import Draft, text_of
from airflow.providers.databricks_air.run.older.shapes import shape_of

__all__ = ["TODO_COMMAND", "from_older"]

Step: TypeAlias = Callable[[Draft, "tuple[str, ...]", Node], None]

#: The command of a run whose source has none that could be carried over: it fails, and says why.
TODO_COMMAND = (
    "echo 'Write the command of this run: it was not carried over by the conversion.' >&2\nexit 1\n"
)

_BANDS = ((100, "BEST_EFFORT"), (200, "NORMAL"), (1000, "CRITICAL"))


def from_older(document: MapNode, draft: Draft) -> None:
    """Fill *draft* from a run configuration in any older form."""
    _fields(document, draft, ())
    _accelerators(document, draft)
    if "udp" in document.entries and draft.get("command") is None:
        draft.set("command", TODO_COMMAND)


def _fields(node: MapNode, draft: Draft, path: tuple[str, ...]) -> None:
    """Carry every field below *path* over: renamed, moved, or noted as lost."""
    for name, entry in node.entries.items():
        here = (*path, name)
        key = ".".join(here)
        today = key.replace("code_source.snapshot", "code_source", 1)
        row = older_names(today.rpartition(".")[0]).get(name)
        step = _STEPS.get(today) or (_carried(row) if row else None)
        if step:
            step(draft, here, entry.node)
        elif isinstance(entry.node, MapNode) and today in _OPENED:
            _fields(entry.node, draft, here)
        elif _is_known(tuple(today.split("."))):
            draft.set(today, entry.node)
        else:
            draft.lose(here, entry.node, "There is no such field")


def _carried(row: OlderName) -> Step | None:
    """Return the step of an older name: to its place today, or into the comments; None where it is that place."""
    if row.target in (row.path, row.parent):
        return None
    return _to(row.target) if row.target else _lost(row.advice)


def _is_known(path: tuple[str, ...]) -> bool:
    field = root()
    for name in path:
        if name not in field.children:
            return False
        field = field.children[name]
    return True


def _to(target: str) -> Step:
    """Return a step that carries a value over to *target*, unless the source has today's field too."""

    def step(draft: Draft, path: tuple[str, ...], node: Node) -> None:
        if draft.get(target) is None:
            draft.set(target, node)
        else:
            draft.lose(path, node, f"{target} is given too and was kept")

    return step


def _lost(advice: str) -> Step:
    def step(draft: Draft, path: tuple[str, ...], node: Node) -> None:
        draft.lose(path, node, advice)

    return step


def _dropped(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    """Drop what says nothing: every code source is a snapshot."""
    if text_of(node) != "snapshot":
        draft.lose(path, node, "Every code source is a snapshot")


def _accelerators(document: MapNode, draft: Draft) -> None:
    """Write today's accelerator type, and whole nodes of it."""
    node, count = draft.get("compute.accelerator_type"), draft.get("compute.num_accelerators")
    asked, compute = text_of(node), document.get("compute")
    if node is None or not isinstance(compute, MapNode) or asked.startswith("GPU_"):
        return
    path = ("compute", "accelerator_type" if "accelerator_type" in compute.entries else "gpu_type")
    number = count.value if isinstance(count, Scalar) and isinstance(count.value, int) else 0
    # A full node of these clusters had one A10, or eight H100.
    shape = shape_of(asked, max(number, 0) or 8, 1 if model_of(asked) == "A10" else 8)
    draft.set("compute.accelerator_type", shape.kind)
    if model_of(asked) is None:
        draft.lose(path, node, f"This hardware is not offered; {shape.kind} was written")
    else:
        draft.tell(path, node, f"{asked} is {shape.kind} now")
    if number > 0 and shape.change:
        draft.set("compute.num_accelerators", shape.count)
        draft.tell_beside("compute.num_accelerators", path, node, shape.change)


def _priority(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    number = node.value if isinstance(node, Scalar) and isinstance(node.value, int) else 100
    name = next((name for limit, name in _BANDS if number < limit), "CRITICAL")
    draft.lose(path, node, f"Write compute.pool_id and compute.priority_class: {name}")


def _remote(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    if not isinstance(node, Scalar) or node.value not in (False, ""):
        draft.lose(
            path, node, "The local repository is packed: fetch first, then name the branch or the commit"
        )


def _docker_image(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    draft.set("environment.docker_image", node)
    draft.tell(
        path, node, "Push the image to Unity Catalog and write environment.unity_catalog_image instead"
    )


def _variables(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    for name, entry in node.entries.items() if isinstance(node, MapNode) else ():
        target = f"{'secrets' if path[-1] in ('secrets', 'env_variables_secrets') else 'env_variables'}"
        known = draft.get(target)
        if isinstance(known, MapNode) and name in known.entries:
            draft.lose((*path, name), entry.node, f"{target} has this name too")
        else:
            merged = dict(known.entries) if isinstance(known, MapNode) else {}
            draft.set(target, MapNode({**merged, name: entry}))
    if not isinstance(node, MapNode) and not isinstance(node, ListNode) and text_of(node):
        draft.lose(path, node, "Variables are a mapping")


#: Sections whose fields are carried over one by one.
_OPENED = frozenset({"compute", "environment", "code_source", "code_source.git"})

_STEPS: Mapping[str, Step] = {
    "env_variables": _variables,
    "environment.env_variables": _variables,
    "secrets": _variables,
    "env_variables_secrets": _variables,
    "priority": _priority,
    "environment.docker_image": _docker_image,
    "code_source.type": _dropped,
    "code_source.git.remote": _remote,
}
