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
"""MosaicML (``mcli``) run YAML → run configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.databricks_air.run.config.parts.accelerators import model_of
from airflow.providers.databricks_air.run.config.parts.compute import MAX_ACCELERATORS
from airflow.providers.databricks_air.run.document.nodes import (
    ListNode,
    MapNode,
    Node,
    Scalar,
    plain,
)
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.older.air import TODO_COMMAND
from airflow.providers.databricks_air.run.older.draft import Draft, text_of
from airflow.providers.databricks_air.run.older.mosaic_integrations import integration, mlflow, wandb
from airflow.providers.databricks_air.run.older.shapes import Shape, shape_of

__all__ = ["from_mosaic", "is_mosaic"]

_MARKS = frozenset(
    {"image", "integrations", "scheduling", "experiment_tracker", "name", "metadata", "gpu_num", "cluster"}
)
#: The GPUs of a full node of these clusters.
_PER_NODE = 8
_NO_POOL = "Priorities need a GPU pool: write compute.pool_id and compute.priority_class"


def is_mosaic(document: MapNode) -> bool:
    """Return whether *document* is a MosaicML run and no run configuration of the AI Runtime."""
    return "experiment_name" not in document.entries and bool(_MARKS & set(document.entries))


def from_mosaic(document: MapNode, draft: Draft) -> None:
    """Fill *draft* from a MosaicML run."""
    steps: Mapping[str, Callable[[Draft, Node], None]] = {
        "name": _name,
        "image": _image,
        "command": _command,
        "compute": _compute,
        "scheduling": _scheduling,
        "env_variables": _variables,
        "parameters": _parameters,
        "integrations": _integrations,
        "experiment_tracker": _trackers,
        "metadata": _metadata,
    }
    for name, step in steps.items():
        entry = document.entries.get(name)
        if entry is not None and not (isinstance(entry.node, Scalar) and entry.node.value is None):
            step(draft, entry.node)
    for name, entry in document.entries.items():
        if name not in steps:
            draft.lose((name,), entry.node, "The AI Runtime has no such field")
    _complete(draft)


def _complete(draft: Draft) -> None:
    """Fill in what every run needs and this one did not say."""
    if draft.get("experiment_name") is None:
        draft.set("experiment_name", "converted-run")
    if draft.get("command") is None:
        draft.set("command", TODO_COMMAND)
    if draft.get("compute.num_accelerators") is None:
        draft.set("compute", {"accelerator_type": "GPU_1xA10", "num_accelerators": 1})
    if draft.get("max_retries") is None:
        # A MosaicML run that says nothing is not retried; here it would be, three times.
        draft.set("max_retries", 0)


def run_name(text: str) -> str:
    """Return *text* as a name that the AI Runtime accepts."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100] or "converted-run"


def _name(draft: Draft, node: Node) -> None:
    name = run_name(text_of(node))
    draft.set("experiment_name", name)
    if name != text_of(node):
        draft.tell(("name",), node, f"Names may only hold letters, digits, - and _: {name} was written")


def _image(draft: Draft, node: Node) -> None:
    draft.set("environment.docker_image.url", text_of(node) or "image")
    draft.tell(
        ("image",), node, "Push the image to Unity Catalog and write environment.unity_catalog_image instead"
    )


def _command(draft: Draft, node: Node) -> None:
    if not text_of(node):
        draft.lose(("command",), node, "A command is needed")
        return
    draft.set("command", node)
    if any(name in text_of(node) for name in ("/mnt/config/parameters.yaml", "PARAMETERS")):
        draft.tell(
            ("command",),
            node,
            "Parameters are in hyperparameters.yaml beside the command, not at $PARAMETERS",
        )


def _compute(draft: Draft, node: Node) -> None:
    fields = node if isinstance(node, MapNode) else MapNode({})
    if fields is not node:
        draft.lose(("compute",), node, "compute is a mapping")
    asked = text_of(fields.get("gpu_type")) or text_of(fields.get("instance"))
    count = _gpu_count(fields)
    if count:
        shape = shape_of(asked, count, _PER_NODE)
    else:
        shape = Shape("GPU_1xA10", 1, "")
        draft.tell(("compute",), fields, "Every run has an accelerator here: one GPU_1xA10 was written")
    draft.set("compute", {"accelerator_type": shape.kind, "num_accelerators": shape.count})
    if shape.change:
        draft.tell_beside("num_accelerators", ("compute",), fields, shape.change)
    _tell_compute(draft, fields, asked, (count, shape))


def _gpu_count(fields: MapNode) -> int:
    for name, each in (("gpus", 1), ("nodes", 8)):
        node = fields.get(name)
        if isinstance(node, Scalar) and isinstance(node.value, int) and node.value > 0:
            return min(node.value * each, MAX_ACCELERATORS)
    return 0


def _tell_compute(draft: Draft, fields: MapNode, asked: str, written: tuple[int, Shape]) -> None:
    count, shape = written
    known = bool(asked) and model_of(asked) is not None
    advice = {
        "gpu_type": f"This hardware is not offered; {shape.kind} was written" if asked and not known else "",
        "instance": f"Instances are chosen by accelerator type; {shape.kind} was written",
        "gpus": "",
        "nodes": "",
    }
    if count and fields.get("gpus") is not None and fields.get("nodes") is not None:
        advice["nodes"] = "gpus is given too and was kept"
    for name, entry in fields.entries.items():
        default = "The AI Runtime is serverless: clusters, CPUs and nodes are not named"
        why = advice.get(name, default)
        if why:
            draft.lose(("compute", name), entry.node, why)
    if not asked and count:
        draft.tell(("compute",), fields, f"The source names no GPU type; {shape.kind} was written")


def _scheduling(draft: Draft, node: Node) -> None:
    fields = node.entries if isinstance(node, MapNode) else {}
    retry = fields.get("retry_on_system_failure")
    for name, entry in fields.items():
        value = entry.node.value if isinstance(entry.node, Scalar) else None
        path = ("scheduling", name)
        if name == "max_retries" and isinstance(value, int) and value >= 0:
            draft.set("max_retries", int(value))
        elif name == "max_duration" and isinstance(value, int | float) and math.isfinite(value) and value > 0:
            draft.set("timeout_minutes", max(1, min(math.ceil(value * 60), 2**31 - 1)))
            draft.tell(path, entry.node, "timeout_minutes limits each attempt, not the whole run")
        elif name in ("priority", "preemptible"):
            band = ": BEST_EFFORT" if value in (True, "low", "lowest") else ""
            draft.lose(path, entry.node, f"{_NO_POOL}{band}")
        elif name != "retry_on_system_failure":
            draft.lose(path, entry.node, "The AI Runtime has no such field")
    if retry is not None:
        wanted = isinstance(retry.node, Scalar) and retry.node.value is True
        if wanted and "max_retries" not in fields:
            draft.set("max_retries", 1)
        what = "max_retries covers failures of every kind" + (
            ", 1 was written" if wanted and "max_retries" not in fields else ""
        )
        draft.lose(("scheduling", "retry_on_system_failure"), retry.node, what)


def _variables(draft: Draft, node: Node) -> None:
    if isinstance(node, MapNode):
        draft.set("env_variables", node)
        return
    for index, item in enumerate(node.items if isinstance(node, ListNode) else []):
        name, value = (item.get("key"), item.get("value")) if isinstance(item, MapNode) else (None, None)
        if text_of(name) and value is not None:
            known = draft.get("env_variables")
            entries: dict[str, Any] = dict(known.entries) if isinstance(known, MapNode) else {}
            single = from_python({text_of(name): ""})
            assert isinstance(single, MapNode)
            single.entries[text_of(name)].node = value
            draft.set("env_variables", MapNode({**entries, **single.entries}))
        else:
            draft.lose(("env_variables", index), item, "Write NAME: value")
    if isinstance(node, Scalar):
        draft.lose(("env_variables",), node, "Write NAME: value")


def _parameters(draft: Draft, node: Node) -> None:
    if not isinstance(node, MapNode):
        draft.lose(("parameters",), node, "Parameters are a mapping")
        return
    draft.set("parameters", node)
    draft.tell(
        ("parameters",), node, "They are in hyperparameters.yaml beside the command, not at $PARAMETERS"
    )


def _integrations(draft: Draft, node: Node) -> None:
    if not isinstance(node, ListNode):
        draft.lose(("integrations",), node, "Integrations are a list")
        return
    for index, item in enumerate(node.items):
        integration(draft, ("integrations", index), item)


def _trackers(draft: Draft, node: Node) -> None:
    known = {"mlflow": mlflow, "wandb": wandb}
    for name, entry in node.entries.items() if isinstance(node, MapNode) else ():
        path: tuple[str | int, ...] = ("experiment_tracker", name)
        if name in known and isinstance(entry.node, MapNode):
            known[name](draft, path, entry.node)
        else:
            draft.lose(path, entry.node, "Set the tracker up in the command")
    if not isinstance(node, MapNode):
        draft.lose(("experiment_tracker",), node, "Set the tracker up in the command")


def _metadata(draft: Draft, node: Node) -> None:
    if plain(node) not in (None, {}):
        draft.lose(("metadata",), node, "Log it as MLflow tags in the command")
