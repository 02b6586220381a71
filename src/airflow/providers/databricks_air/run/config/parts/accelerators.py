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
"""Accelerator types: their shapes, and the shapes that took the place of older names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from airflow.providers.databricks_air.run.config.older_names import ACCELERATOR_MODELS

__all__ = ["ACCELERATORS", "AcceleratorType", "model_of", "shape_for"]

#: The number in a name is the number of accelerators of one node.
AcceleratorType = Literal["GPU_1xA10", "GPU_1xH100", "GPU_8xH100", "GPU_8xB300"]

#: Accelerators of one node, by accelerator type.
ACCELERATORS: Mapping[str, int] = {name: int(name[4 : name.index("x")]) for name in get_args(AcceleratorType)}


def model_of(name: str) -> str | None:
    """Return the model that an older name means, such as ``H100`` for ``nvidia-h100_80gb``; None for others."""
    if name.lower() in ACCELERATOR_MODELS:
        return ACCELERATOR_MODELS[name.lower()]
    # nvidia-a10, h100-80gb: the model, with maker and memory around it
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((ACCELERATOR_MODELS[word] for word in words if word in ACCELERATOR_MODELS), None)


def shape_for(model: str, count: int | None) -> str:
    """Return the accelerator type of *model* whose nodes hold *count* accelerators, the largest that does.

    :param model: such as ``H100``.
    :param count: the accelerators of the run in all; None when not known.
    """
    shapes = sorted(
        (name for name in ACCELERATORS if name.endswith(f"x{model}")), key=lambda n: -ACCELERATORS[n]
    )
    return next((name for name in shapes if (count or 0) % ACCELERATORS[name] == 0), shapes[-1])
