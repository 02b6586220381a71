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
"""A valid document, and what the loader says about another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.run import ConfigError, FieldError, load_run_config

VALID = """\
experiment_name: demo
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
command: python train.py
"""


def errors_of(source: Any, **options: Any) -> list[FieldError]:
    """Return the mistakes that the loader finds in *source*."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(source, **options)
    return list(caught.value.errors)


def write(directory: Path, **files: str) -> None:
    """Write YAML files by name."""
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
