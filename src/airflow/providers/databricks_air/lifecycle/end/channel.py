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
"""The channel of a task's process to Airflow, for a process that outlives it (Airflow 3)."""

from __future__ import annotations

import itertools
import os
import socket
from typing import Any

__all__ = ["channel", "take_channel"]

# Greater than any number that a task has used: an answer that it has not waited for is not ours.
FIRST = 1_000_000_000


def channel() -> int | None:
    """Return a file descriptor of this task's channel to Airflow; None where there is none, as on Airflow 2.

    Airflow goes on to answer on it when the task's process has ended (``[workers] socket_cleanup_timeout``, a minute).
    """
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return None
    own = getattr(getattr(task_runner, "SUPERVISOR_COMMS", None), "socket", None)
    return None if own is None else os.dup(own.fileno())


def take_channel(descriptor: int) -> None:
    """Go on with the channel of a task's process that has ended.

    :param descriptor: what ``channel`` has returned in that process.
    """
    from airflow.sdk.execution_time import comms, task_runner

    class Heir(comms.CommsDecoder):  # type: ignore[type-arg]
        """Leaves out the answers to questions of the process before."""

        def _read_frame(self, maxfds: Any = None) -> Any:
            while True:
                frame = super()._read_frame(maxfds)
                if getattr(frame, "id", FIRST) >= FIRST:
                    return frame

    task_runner.SUPERVISOR_COMMS = Heir(
        socket=socket.socket(fileno=descriptor), id_counter=itertools.count(FIRST)
    )
