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
"""What is written down of an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from databricks_air_local.engine.artifacts import Artifacts
    from databricks_air_local.engine.streams import Streams
    from databricks_air_local.state.mlflow import Mlflow

__all__ = ["Records"]


@dataclass(frozen=True)
class Records:
    """What is written down of an attempt.

    :param streams: the lines of its nodes.
    :param mlflow: its MLflow run.
    :param artifacts: its files, its log among them.
    """

    streams: Streams
    mlflow: Mlflow
    artifacts: Artifacts
