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
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from airflow.providers.databricks_air.run.config.model import ConfigModel, Conflict, is_set
from airflow.providers.databricks_air.run.config.rules import (
    Text,
    mistake,
    nearest,
    trimmed,
    whole_number,
)
from airflow.providers.databricks_air.run.document.display import show
from airflow.providers.databricks_air.run.document.nodes import Scalar

__all__ = ["ACCELERATORS", "PRIORITY_CLASSES", "Compute", "node_count"]

#: Accelerators of one node, by accelerator type.
ACCELERATORS: Mapping[str, int] = {"GPU_1xA10": 1, "GPU_1xH100": 1, "GPU_8xH100": 8, "GPU_8xB300": 8}

#: How a run competes for the accelerators of a pool.
PRIORITY_CLASSES = ("BEST_EFFORT", "NORMAL", "CRITICAL")

_RETIRED_TYPES = {"a10": "GPU_1xA10", "a10g": "GPU_1xA10", "h100_80gb": "GPU_8xH100", "h100": "GPU_8xH100"}


def _accelerator(value: str) -> str:
    if value in ACCELERATORS:
        return value
    known = ", ".join(ACCELERATORS)
    if value.lower() in _RETIRED_TYPES:
        raise mistake(f"{show(value)} is not offered any more", f"Write {_RETIRED_TYPES[value.lower()]}")
    close = nearest(value, list(ACCELERATORS))
    raise mistake(
        f"{show(value)} is not an accelerator type", f"Did you mean {close}?" if close else f"One of {known}"
    )


def _priority(value: str) -> str:
    name = value.strip().upper()
    if name not in PRIORITY_CLASSES:
        raise mistake(f"{show(value)} is not a priority class", f"One of {', '.join(PRIORITY_CLASSES)}")
    return name


class Compute(ConfigModel):
    """What the run runs on: whole nodes of one accelerator type."""

    accelerator_type: Annotated[
        Text, AfterValidator(_accelerator), Field(json_schema_extra={"enum": list(ACCELERATORS)})
    ]
    """The node type: ``GPU_1xA10``, ``GPU_1xH100``, ``GPU_8xH100`` or ``GPU_8xB300``; the number in it is
    the number of accelerators of one node. Upper and lower case matter."""

    num_accelerators: Annotated[
        int, BeforeValidator(whole_number(1)), Field(json_schema_extra={"minimum": 1})
    ]
    """How many accelerators the run gets in all: a multiple of the accelerators of one node. The run
    gets ``num_accelerators`` divided by that many nodes."""

    pool_id: (
        Annotated[Text, AfterValidator(trimmed(255)), Field(json_schema_extra={"maxLength": 255})] | None
    ) = None
    """The id of a GPU pool (provisioned capacity) to run in, at most 255 characters. Without it the run
    takes serverless capacity."""

    priority_class: (
        Annotated[
            Text,
            AfterValidator(_priority),
            Field(json_schema_extra={"enum": [*PRIORITY_CLASSES, *map(str.lower, PRIORITY_CLASSES)]}),
        ]
        | None
    ) = None
    """How the run competes for the pool: ``BEST_EFFORT`` (may be preempted), ``NORMAL`` or ``CRITICAL``;
    case does not matter. Needs ``pool_id``."""

    retired: ClassVar[Mapping[str, str]] = {
        "gpus": "Write num_accelerators",
        "gpu_type": "Write accelerator_type",
        "node_pool_id": "Legacy node pools are gone; write pool_id, the id of a GPU pool",
        "pool_name": "Legacy node pools are gone; write pool_id, the id of a GPU pool",
        "provisioned_capacity_id": "Write pool_id",
    }

    @property
    def gpus_per_node(self) -> int:
        """The accelerators of one node."""
        return ACCELERATORS[self.accelerator_type]

    @property
    def node_count(self) -> int:
        """The nodes of the run."""
        return self.num_accelerators // self.gpus_per_node

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        kind, count = _text(data.get("accelerator_type")), _number(data.get("num_accelerators"))
        per_node = ACCELERATORS.get(kind, 1)
        if count is not None and count % per_node:
            near = max(per_node, round(count / per_node) * per_node)
            yield (
                ("num_accelerators",),
                mistake(f"{count} is not a multiple of {per_node} ({kind})", f"Write {near}"),
            )
        if is_set(data, "priority_class") and not is_set(data, "pool_id"):
            yield ("priority_class",), mistake("needs pool_id", "Add pool_id, or remove priority_class")


def node_count(compute: object) -> int | None:
    """Return the nodes that *compute*, which may hold anything, asks for; None when it does not say."""
    if isinstance(compute, Compute):
        return compute.node_count
    if not isinstance(compute, Mapping):
        return None
    kind, count = _text(compute.get("accelerator_type")), _number(compute.get("num_accelerators"))
    per_node = ACCELERATORS.get(kind)
    return count // per_node if per_node and count and count % per_node == 0 else None


def _text(value: object) -> str:
    return value.text if isinstance(value, Scalar) else value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    try:
        return whole_number(1)(value)
    except ValueError:
        return None
