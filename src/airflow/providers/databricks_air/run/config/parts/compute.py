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
"""The accelerators of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic_core import PydanticCustomError

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.parts.accelerators import (
    ACCELERATORS,
    AcceleratorType,
    model_of,
    shape_for,
)
from airflow.providers.databricks_air.run.config.rules.relations import Conflict, Needs, Relation
from airflow.providers.databricks_air.run.config.rules.sentences import mistake
from airflow.providers.databricks_air.run.config.rules.values import OneOf, Text, Whole, as_text
from airflow.providers.databricks_air.run.document.display import show

__all__ = ["ACCELERATORS", "MAX_ACCELERATORS", "PRIORITY_CLASSES", "Compute", "node_count"]

#: The most accelerators of one run, as the service has it.
MAX_ACCELERATORS = 1024

_Priority = Literal["BEST_EFFORT", "NORMAL", "CRITICAL"]

#: How a run competes for the accelerators of a pool.
PRIORITY_CLASSES: tuple[str, ...] = get_args(_Priority)

_COUNT = Whole(1, MAX_ACCELERATORS)


class _WholeNodes:
    """The rule that a run takes whole nodes."""

    partial = True

    def check(self, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield one error when the accelerators do not fill their nodes."""
        kind, count = _type_and_count(data)
        per_node = ACCELERATORS.get(kind, 1)
        if count and count > 0 and count % per_node:
            near = max(per_node, round(count / per_node) * per_node)
            what = f"{count} is not a multiple of {per_node} ({kind})"
            yield ("num_accelerators",), mistake(what, f"Write {near}")

    def schema(self) -> dict[str, Any]:
        """Return the rule for each accelerator type with more than one accelerator in a node."""
        by_size: dict[int, list[str]] = {}
        for name, each in ACCELERATORS.items():
            by_size.setdefault(each, []).append(name)
        return {
            "allOf": [
                {
                    "if": {
                        "required": ["accelerator_type"],
                        "properties": {"accelerator_type": {"enum": names}},
                    },
                    "then": {"properties": {"num_accelerators": {"multipleOf": each}}},
                }
                for each, names in by_size.items()
                if each > 1
            ]
        }


class Compute(ConfigModel):
    """What the run runs on: whole nodes of one accelerator type."""

    accelerator_type: Annotated[AcceleratorType, OneOf(strip=False)]
    """The node type: ``GPU_1xA10``, ``GPU_1xH100``, ``GPU_8xH100`` or ``GPU_8xB300``; the number in it is
    the number of accelerators of one node. Upper and lower case matter."""

    num_accelerators: Annotated[int, _COUNT]
    """How many accelerators the run gets in all, at most 1,024: a multiple of the accelerators of one node.
    The run gets ``num_accelerators`` divided by that many nodes."""

    pool_id: Annotated[str, Text(longest=255, strip=True)] | None = None
    """The id of a GPU pool (provisioned capacity) to run in, at most 255 characters. Without it the run
    takes serverless capacity."""

    priority_class: Annotated[_Priority, OneOf(str.upper)] | None = None
    """How the run competes for the pool: ``BEST_EFFORT`` (may be preempted), ``NORMAL`` or ``CRITICAL``;
    case does not matter. Needs ``pool_id``."""

    section: ClassVar[str] = "compute"
    relations: ClassVar[tuple[Relation, ...]] = (
        _WholeNodes(),
        Needs("priority_class", "pool_id", "needs pool_id", "Add pool_id, or remove priority_class"),
    )

    @property
    def gpus_per_node(self) -> int:
        """The accelerators of one node."""
        return ACCELERATORS[self.accelerator_type]

    @property
    def node_count(self) -> int:
        """The nodes of the run."""
        return self.num_accelerators // self.gpus_per_node

    @classmethod
    def advice(cls, name: str, data: Mapping[str, Any]) -> PydanticCustomError | None:
        """Return the accelerator type that took the place of an older name, in the shape of the count."""
        kind, count = _type_and_count(data)
        model = model_of(kind) if name == "accelerator_type" and not kind.startswith("GPU_") else None
        if model is None:
            return None
        return mistake(f"{show(kind)} is not offered any more", f"Write {shape_for(model, count)}")


def node_count(compute: object) -> int | None:
    """Return the nodes that *compute*, which may hold anything, asks for; None when it does not say."""
    if isinstance(compute, Compute):
        return compute.node_count
    kind, count = _type_and_count(compute) if isinstance(compute, Mapping) else ("", None)
    per_node = ACCELERATORS.get(kind)
    return count // per_node if per_node and count and count % per_node == 0 else None


def _type_and_count(compute: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the accelerator type and count of a mapping that may hold anything; empty or None where it does."""
    try:
        kind = as_text(compute.get("accelerator_type"))
    except PydanticCustomError:
        kind = ""
    try:
        count = _COUNT.number(compute.get("num_accelerators"))
    except PydanticCustomError:
        return kind, None
    return kind, count if 0 < count <= MAX_ACCELERATORS else None
