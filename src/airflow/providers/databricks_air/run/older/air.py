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

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from airflow.providers.databricks_air.run.config.run_config import RunConfig
from airflow.providers.databricks_air.run.config.schema_paths import root
from airflow.providers.databricks_air.run.document.nodes import ListNode, MapNode, Node, Scalar
from airflow.providers.databricks_air.run.older.draft import Draft, text_of

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.document.nodes import Entry

__all__ = ["TODO_COMMAND", "accelerator", "from_older"]

Step: TypeAlias = Callable[[Draft, "tuple[str, ...]", Node], None]

#: The command of a run whose source has none that could be carried over: it fails, and says why.
TODO_COMMAND = (
    "echo 'Write the command of this run: it was not carried over by the conversion.' >&2\nexit 1\n"
)

_BANDS = ((100, "BEST_EFFORT"), (200, "NORMAL"), (1000, "CRITICAL"))
_ACCELERATORS = {"a10": "GPU_1xA10", "a10g": "GPU_1xA10", "h100": "GPU_8xH100", "b300": "GPU_8xB300"}


def accelerator(name: str) -> str | None:
    """Return today's accelerator type for an older name, or None when there is no such hardware any more."""
    if name.startswith("GPU_"):
        return name
    # h100_80gb, nvidia-a10: the model, with maker and memory around it
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((_ACCELERATORS[word] for word in words if word in _ACCELERATORS), None)


def from_older(document: MapNode, draft: Draft) -> None:
    """Fill *draft* from a run configuration in any older form."""
    _fields(document, draft, ())
    if "udp" in document.entries and draft.get("command") is None:
        draft.set("command", TODO_COMMAND)


def _fields(node: MapNode, draft: Draft, path: tuple[str, ...]) -> None:
    """Carry every field below *path* over: renamed, moved, or noted as lost."""
    for name, entry in node.entries.items():
        here = (*path, name)
        key = ".".join(here)
        step = _STEPS.get(key)
        if step:
            step(draft, here, entry.node)
        elif isinstance(entry.node, MapNode) and key in _OPENED:
            _fields(entry.node, draft, here)
        elif _is_known(here):
            draft.set(key, entry.node)
        else:
            draft.lose(here, entry.node, _advice(here, entry))


def _is_known(path: tuple[str, ...]) -> bool:
    field = root()
    for name in path:
        if name not in field.children:
            return False
        field = field.children[name]
    return True


def _advice(path: tuple[str, ...], entry: Entry) -> str:
    model: object = RunConfig
    for name in path[:-1]:
        model = next((part.model for part in root().children.values() if part.path == name), None)
    retired: Mapping[str, str] = getattr(model, "retired", {})
    return retired.get(str(entry.key), "There is no such field")


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


def _run_name(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    """Carry the former name of the run over to the name of the MLflow run."""
    _to("mlflow_run_name")(draft, path, node)


def _accelerator_type(draft: Draft, path: tuple[str, ...], node: Node) -> None:
    kind = accelerator(text_of(node))
    if kind is None:
        draft.lose(path, node, "This hardware is not offered; GPU_8xH100 was written")
    draft.set("compute.accelerator_type", kind or "GPU_8xH100")
    if kind and kind != text_of(node):
        draft.tell(path, node, f"{text_of(node)} is {kind} now")


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
_OPENED = frozenset(
    {
        "compute",
        "environment",
        "code_source",
        "code_source.snapshot",
        "code_source.snapshot.git",
        "code_source.git",
    }
)

_SOURCE_STEPS: Mapping[str, Step] = {
    "type": _dropped,
    "root_path": _to("code_source.root_path"),
    "repo_path": _to("code_source.root_path"),
    "remote_volume": _to("code_source.remote_volume"),
    "include_paths": _to("code_source.include_paths"),
    "git_branch": _to("code_source.git.branch"),
    "git_commit": _to("code_source.git.commit"),
    "git.branch": _to("code_source.git.branch"),
    "git.commit": _to("code_source.git.commit"),
    "git.remote": _remote,
    "allow_uncommitted": _lost(
        "Uncommitted files are packed, unless code_source.git names a branch or a commit"
    ),
}

_STEPS: Mapping[str, Step] = {
    "run_name": _run_name,
    "bash_script": _to("command"),
    "budget_policy_id": _to("usage_policy_id"),
    "experiment_directory": _to("mlflow_experiment_directory"),
    "env_variables": _variables,
    "environment.env_variables": _variables,
    "secrets": _variables,
    "env_variables_secrets": _variables,
    "priority": _priority,
    "compute.gpus": _to("compute.num_accelerators"),
    "compute.gpu_type": _accelerator_type,
    "compute.accelerator_type": _accelerator_type,
    "compute.provisioned_capacity_id": _to("compute.pool_id"),
    "environment.docker_image": _docker_image,
    "environment.custom_image_tag": _lost(
        "Push the image to Unity Catalog and write environment.unity_catalog_image"
    ),
    "udp": _lost("Write the script into command"),
    **{f"code_source.{name}": step for name, step in _SOURCE_STEPS.items()},
    **{f"code_source.snapshot.{name}": step for name, step in _SOURCE_STEPS.items()},
}
