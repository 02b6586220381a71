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
"""MosaicML integrations and experiment trackers → run configuration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import TypeAlias

from airflow.providers.databricks_air.run.document.nodes import (
    ListNode,
    MapNode,
    Node,
    Scalar,
    plain,
)
from airflow.providers.databricks_air.run.document.python_data import from_python
from airflow.providers.databricks_air.run.older.draft import Draft, text_of

__all__ = ["integration", "mlflow", "wandb"]

_Path: TypeAlias = "tuple[str | int, ...]"


def integration(draft: Draft, path: _Path, node: Node) -> None:
    """Carry one item of ``integrations`` over."""
    kind = text_of(node.get("integration_type")) if isinstance(node, MapNode) else ""
    known: Mapping[str, Callable[[Draft, _Path, MapNode], None]] = {
        "git_repo": _git_repo,
        "pip_packages": _pip_packages,
        "mlflow": mlflow,
        "wandb": wandb,
    }
    step = known.get(kind)
    if step is None or not isinstance(node, MapNode):
        advice = "Install it in the image" if kind == "apt_packages" else "Set it up in the command"
        draft.lose(path, node, advice)
        return
    step(
        draft, path, MapNode({k: v for k, v in node.entries.items() if k != "integration_type"}, node.origin)
    )


def _git_repo(draft: Draft, path: _Path, node: MapNode) -> None:
    repository = text_of(node.get("git_repo")) or "the repository"
    if draft.get("code_source") is not None:
        draft.lose(path, node, "One code source is packed; clone the others in the command")
        return
    draft.set("code_source.root_path", ".")
    commit, branch = text_of(node.get("git_commit")), text_of(node.get("git_branch"))
    if commit or branch:
        draft.set("code_source.git", {"commit": commit} if commit else {"branch": branch})
    draft.lose(
        path,
        node,
        f"The local clone is packed: keep this file in your clone of {repository}",
    )


def _pip_packages(draft: Draft, path: _Path, node: MapNode) -> None:
    listed = node.get("packages")
    packages = (
        [text_of(item) for item in listed.items] if isinstance(listed, ListNode) else text_of(listed).split()
    )
    packages = [package for package in packages if package]
    if draft.get("environment.docker_image") is None and packages:
        known = draft.get("environment.dependencies")
        draft.set("environment.dependencies", [*(plain(known) if known else []), *packages])
    elif packages:
        command = draft.get("command")
        text = command.text if isinstance(command, Scalar) else ""
        draft.set("command", f"pip install {shlex.join(packages)}\n{text}")
        draft.tell(
            path, node, "An image stands without dependencies: the packages are installed by the command"
        )
    _rest(draft, path, node, {"packages"}, "Write it as a line for pip, or install it in the command")


def mlflow(draft: Draft, path: _Path, node: MapNode) -> None:
    """Carry an MLflow experiment over: its directory, and its name as that of the run."""
    for name, entry in node.entries.items():
        where = (*path, name)
        if name in ("experiment_path", "experiment_name") and text_of(entry.node):
            _experiment(draft, where, entry.node)
        elif name == "tracking_uri" and text_of(entry.node) == "databricks":
            continue
        else:
            draft.lose(where, entry.node, "Set it in the command; runs log to the workspace they run in")


def _experiment(draft: Draft, path: _Path, node: Node) -> None:
    directory, _, last = text_of(node).rstrip("/").rpartition("/")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-")[:100]
    if not name or draft.get("mlflow_run_name") is not None:
        draft.lose(path, node, "A run has one experiment, named by experiment_name")
        return
    run = draft.get("experiment_name")
    if run is not None:
        draft.set("mlflow_run_name", run)
    draft.set("experiment_name", name)
    if directory.startswith("/"):
        draft.set(
            "mlflow_experiment_directory",
            directory if directory.startswith("/Workspace") else f"/Workspace{directory}",
        )
    if name != last:
        draft.tell(path, node, f"Names may only hold letters, digits, - and _: {name} was written")


def wandb(draft: Draft, path: _Path, node: MapNode) -> None:
    """Carry a Weights & Biases project over to the variables that its library reads."""
    known = {
        "project": "WANDB_PROJECT",
        "entity": "WANDB_ENTITY",
        "group": "WANDB_RUN_GROUP",
        "name": "WANDB_NAME",
    }
    for name, entry in node.entries.items():
        variable = known.get(name)
        if variable and text_of(entry.node):
            draft.add(f"env_variables.{variable}", (*path, name), entry.node)
        elif isinstance(entry.node, ListNode) and name == "tags":
            tags = from_python(",".join(text_of(item) for item in entry.node.items))
            draft.add("env_variables.WANDB_TAGS", (*path, name), tags)
        else:
            draft.lose((*path, name), entry.node, "Set it in the command")
    draft.tell(
        path, node, "Put the API key into a secret scope and write secrets: {WANDB_API_KEY: scope/key}"
    )


def _rest(draft: Draft, path: _Path, node: MapNode, carried: set[str], advice: str) -> None:
    for name, entry in node.entries.items():
        if name not in carried:
            draft.lose((*path, name), entry.node, advice)
