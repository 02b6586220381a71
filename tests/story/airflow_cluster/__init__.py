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
"""Real Airflow for the stories: started, asked, hurt and stopped from a test."""

from __future__ import annotations

from tests.story.airflow_cluster.client import FINISHED, AirflowClient, ApiRefusedError, TaskKey, TaskView
from tests.story.airflow_cluster.cluster import AirflowCluster
from tests.story.airflow_cluster.component import Component, send
from tests.story.airflow_cluster.settings import (
    AIRFLOW_3,
    AIRFLOW_VERSION,
    HEARTBEAT_TIMEOUT,
    Settings,
    free_ports,
    missing_for_celery,
)
from tests.story.airflow_cluster.task_process import TaskProcess, task_process
from tests.story.airflow_cluster.waiting import wait_for

__all__ = [
    "AIRFLOW_3",
    "AIRFLOW_VERSION",
    "FINISHED",
    "HEARTBEAT_TIMEOUT",
    "AirflowClient",
    "AirflowCluster",
    "ApiRefusedError",
    "Component",
    "Settings",
    "TaskKey",
    "TaskProcess",
    "TaskView",
    "free_ports",
    "missing_for_celery",
    "send",
    "task_process",
    "wait_for",
]
