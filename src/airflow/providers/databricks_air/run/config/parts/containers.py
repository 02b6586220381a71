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
"""Several containers in one run, each on its own nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, ClassVar

from pydantic import Field

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.rules.mappings import TextMap
from airflow.providers.databricks_air.run.config.rules.relations import Conflict, Relation, value_at
from airflow.providers.databricks_air.run.config.rules.sentences import mistake
from airflow.providers.databricks_air.run.config.rules.values import (
    COMMAND,
    Image,
    NotEmpty,
    Script,
    Text,
    Whole,
    as_text,
)
from airflow.providers.databricks_air.run.document.display import show

__all__ = ["SECRET_VARIABLE", "Container", "ContainerVariables", "container_conflicts"]

#: A variable of a container whose value is a secret: ``{{secrets/scope/key}}``.
SECRET_VARIABLE = re.compile(r"\{\{secrets/([^/{}]+)/([^/{}]+)\}\}")

_RANK = Whole(0)
_NAME = Text(
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "must be letters, digits and _, not a digit first",
    blank="Must be letters, digits and _, not a digit first",
    longest=16,
)


class _SecretReferences:
    """The rule that what begins like a secret is one."""

    partial = True

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield the variables that begin like a secret and are none."""
        variables = data.get("variables")
        for name, value in variables.items() if isinstance(variables, Mapping) else ():
            text = _text(value)
            if text.startswith("{{secrets/") and not SECRET_VARIABLE.fullmatch(text):
                what = mistake("is not a reference to a secret", "Write {{secrets/scope/key}}")
                yield ("variables", str(name)), what

    def schema(self) -> dict[str, Any]:
        """Return the rule as patterns."""
        begins, whole = r"^\{\{secrets/", f"^{SECRET_VARIABLE.pattern}$"
        value = {"if": {"type": "string", "pattern": begins}, "then": {"pattern": whole}}
        return {"properties": {"variables": {"additionalProperties": value}}}


class ContainerVariables(ConfigModel):
    """The environment variables of one container."""

    variables: TextMap = Field(default_factory=dict)
    """Names and texts; they win over ``env_variables`` of the top level. A text ``{{secrets/scope/key}}`` is
    replaced by that secret on the node."""

    files: Annotated[tuple[str, ...], Field(max_length=0)] = ()
    """Not supported by the platform yet; must be empty."""

    relations: ClassVar[tuple[Relation, ...]] = (_SecretReferences(),)


class Container(ConfigModel):
    """One image and its command, on some of the nodes."""

    name: Annotated[str, _NAME]
    """A name of its own in the list: letters, digits and ``_``, not a digit first, at most 16 characters."""

    command: Annotated[str, COMMAND, Script()]
    """The shell script that the nodes of this container run; at most 1000 lines."""

    ranks: Annotated[
        tuple[Annotated[int, _RANK], ...], NotEmpty("Name the nodes of this container, counted from 0")
    ]
    """The nodes of this container, counted from 0. Every node of the run belongs to exactly one container."""

    unity_catalog_image: Image
    """The image in Unity Catalog, ``catalog.schema.image:tag``."""

    environment_variables: ContainerVariables = Field(default_factory=ContainerVariables)
    """The environment variables of this container alone."""


def container_conflicts(containers: object, nodes: int | None) -> Iterator[Conflict]:
    """Yield what is wrong between the containers of a run.

    :param containers: the list, which may hold anything.
    :param nodes: the nodes of the run; None when not known.
    """
    if not isinstance(containers, Sequence) or isinstance(containers, str) or not containers:
        return
    names: set[str] = set()
    owners: dict[int, str] = {}
    for index, container in enumerate(containers):
        name = _text(value_at(container, "name")) or f"number {index}"
        if name in names:
            yield (
                ("containers", index, "name"),
                mistake(f"{show(name)} is used twice", "Give every container its own name"),
            )
        names.add(name)
        yield from _rank_conflicts(value_at(container, "ranks"), index, (name, nodes), owners)
    if not all(
        isinstance(ranks, list | tuple) and ranks
        for ranks in (value_at(item, "ranks") for item in containers)
    ):
        return  # told already: some container does not say where it runs
    missing = list(islice((rank for rank in range(nodes or 0) if rank not in owners), 9))
    if missing:
        listed = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        message = f"no container runs on node {listed} of {nodes}"
        yield ("containers",), mistake(message, "Add these ranks to one of the containers")


def _rank_conflicts(
    ranks: object, index: int, container: tuple[str, int | None], owners: dict[int, str]
) -> Iterator[Conflict]:
    name, nodes = container
    if not isinstance(ranks, list | tuple):
        return
    for place, item in enumerate(ranks):
        try:
            rank = _RANK.number(item)
        except ValueError:
            continue
        path = ("containers", index, "ranks", place)
        if rank < 0:
            continue  # told already
        if nodes is not None and rank >= nodes:
            yield (
                path,
                mistake(f"{rank} is not a node of this run", f"The run has {nodes} nodes: 0 … {nodes - 1}"),
            )
        elif rank in owners:
            yield (
                path,
                mistake(f"node {rank} already belongs to container {owners[rank]}", "Name every node once"),
            )
        else:
            owners[rank] = name


def _text(value: object) -> str:
    try:
        return as_text(value)
    except ValueError:
        return ""
