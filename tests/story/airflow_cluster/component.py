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
"""One process of Airflow: the scheduler, a triggerer, the server of its API."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil


class Component:
    """An ``airflow <command>`` that can be started, signalled and stopped, again and again.

    :param name: how logs and errors call it.
    :param command: the arguments after ``airflow``.
    :param env: the whole environment of the process.
    :param log: the file that takes its output.
    :param is_program: whether the command is a program of its own instead.
    """

    def __init__(
        self, name: str, command: list[str], env: Mapping[str, str], log: Path, is_program: bool = False
    ) -> None:
        self.name = name
        self.command = command
        self.env = dict(env)
        self.log = log
        self._line = command if is_program else [sys.executable, "-m", "airflow", *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the ``airflow`` process.

        :raises RuntimeError: if it is not running.
        """
        if not self.is_running:
            raise RuntimeError(f"{self.name} is not running; its log is {self.log}")
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._line,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def family(self) -> list[psutil.Process]:
        """Return the process and all it started, as far as they still hang together."""
        if not self.is_running:
            return []
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all it started, children first."""
        for process in reversed(self.family()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def signal_one(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> None:
        """Wait for the end of the process, and kill what is left of its family after *timeout* seconds."""
        family = self.family()
        _, left = psutil.wait_procs(family, timeout)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._wait()

    def kill(self) -> None:
        """SIGKILL the process with all it started, as the loss of a machine would."""
        self.signal_all(signal.SIGKILL)
        self._wait()

    def stop(self, timeout: float = 30.0) -> None:
        """SIGTERM the process and wait; what does not end within *timeout* seconds is killed."""
        family = self.family()
        if not family:
            return
        family[0].send_signal(signal.SIGCONT)
        family[0].send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._wait()

    def tail(self, lines: int = 30) -> str:
        """Return the end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(30)


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal to one process and return whether it was there to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
