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
"""Which accelerators take the place of those that a former run asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow.providers.databricks_air.run.config.parts.accelerators import ACCELERATORS, model_of, shape_for
from airflow.providers.databricks_air.run.config.parts.compute import MAX_ACCELERATORS

__all__ = ["Shape", "shape_of"]

_MODEL = "H100"


@dataclass(frozen=True)
class Shape:
    """The accelerators of a converted run.

    :param kind: the accelerator type.
    :param count: the accelerators in all.
    :param change: what is different from the source in words; empty when the nodes are the same.
    """

    kind: str
    count: int
    change: str


def shape_of(name: str, count: int, per_node: int) -> Shape:
    """Return the shape that runs the command on as many nodes as the source, where there is one.

    :param name: the accelerators in the words of the source; those that are not offered become H100.
    :param count: the accelerators of the source in all, at least 1.
    :param per_node: the accelerators of one full node of the source.
    """
    if name in ACCELERATORS:
        model, largest = name.rpartition("x")[2], name
    else:
        model = model_of(name) or _MODEL
        largest = shape_for(model, None)
    each = ACCELERATORS[largest]
    nodes = math.ceil(count / per_node)
    kind = shape_for(model, count) if count // nodes == ACCELERATORS[shape_for(model, count)] else largest
    total = min(math.ceil(count / ACCELERATORS[kind]) * ACCELERATORS[kind], MAX_ACCELERATORS)
    after = total // ACCELERATORS[kind]
    if (total, after) == (count, nodes):
        return Shape(kind, total, "")
    change = f"{_nodes(count, nodes)} became {_nodes(total, after)} ({kind})"
    if after > nodes:
        change += "; every node runs the command"
    elif each > 1 and shape_for(model, 1) != kind:
        change += f"; for {count} nodes of 1 each write {shape_for(model, 1)} and {count}"
    return Shape(kind, total, change)


def _nodes(count: int, nodes: int) -> str:
    accelerators = f"{count} accelerator{'s' if count != 1 else ''}"
    return f"{accelerators} on {nodes} node{'s' if nodes != 1 else ''}"
