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
"""Ends every process of a cluster when the process that started it is gone, however it went.

Run as ``python reaper.py HOME POSTMASTER_PID_FILE``; it waits until its standard input is closed, which the
kernel does for a starter that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil


def members(home: str) -> list[psutil.Process]:
    """Return the living processes whose ``AIRFLOW_HOME`` is *home*, this one left out.

    ``SPT_NOENV`` must be set in them: otherwise their process titles overwrite the environment that is
    read here.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("AIRFLOW_HOME") == home:
                found.append(process)
    return found


def reap(home: str, postmaster_pid_file: Path) -> list[str]:
    """Kill what is left of the cluster and return the titles of what it found."""
    found: list[str] = []
    for _ in range(20):  # a process may fork while it is being looked for
        left = members(home)
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                found.append(" ".join(process.cmdline())[:120])
                process.kill()
        time.sleep(0.1)
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(int(postmaster_pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
    return found


def main() -> None:
    """Wait for the starter's end, then reap."""
    home, pid_file = sys.argv[1:3]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    reap(home, Path(pid_file))


if __name__ == "__main__":
    main()
