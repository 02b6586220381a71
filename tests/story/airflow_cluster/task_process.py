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
"""The two processes of a running task: the one that runs it, and the one above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from tests.story.airflow_cluster.waiting import wait_for

if TYPE_CHECKING:
    from tests.story.airflow_cluster.client import AirflowClient, TaskKey


@dataclass(frozen=True)
class TaskProcess:
    """The processes of one attempt.

    :param pid: runs ``execute``.
    :param supervisor: sends the heartbeats; it gets the SIGTERM when a machine is drained.
    """

    pid: int
    supervisor: int

    @property
    def is_running(self) -> bool:
        """Whether the process that runs ``execute`` lives."""
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def task_process(client: AirflowClient, key: TaskKey, timeout: float = 180.0) -> TaskProcess:
    """Wait for the processes of a task that is about to run.

    :param timeout: seconds.
    """

    def ask() -> TaskProcess | None:
        pid = client.wait_pid(key, timeout)
        try:
            return TaskProcess(pid, psutil.Process(pid).ppid())
        except psutil.NoSuchProcess:
            return None

    return wait_for(ask, f"the processes of {key}", timeout)
