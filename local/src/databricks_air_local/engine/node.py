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
"""The process of one node: a command in a process group of its own, its output and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KILLED", "MARK", "VERDICT", "NodeProcess", "NodeSpec", "can_sweep", "kill_marked"]

MARK = "DATABRICKS_AIR_LOCAL_NODE"
# Where Linux shows the environments of processes; other systems have nothing there.
PROCESSES = Path("/proc")
_PIECE = 64 * 1024
#: Bytes after which a line is broken.
_LONGEST_LINE = 256 * 1024
KILLED = -9
#: How the last line of a command that failed begins.
VERDICT = "ERROR: Script failed with exit code"
_SETUP_FAILED = "setup"

# The server holds the write end of the lifeline: when it dies, however it dies, the watcher reads the end of
# the file and kills the group, and by the mark in their environment (Linux) what left the group. The bash 3.2
# of macOS can read this too.
_WRAPPER = r"""
command=$1 status_file=$2 lifeline=$3 memory=$4 cpus=$5 setup=$6
finish() {
  printf %s "$1" >"$status_file.part" && mv "$status_file.part" "$status_file"
  kill -KILL -- -$$
}
if [[ -n $lifeline ]]; then
  (
    read -r _ <&"$lifeline"
    mark="DATABRICKS_AIR_LOCAL_NODE=$DATABRICKS_AIR_LOCAL_NODE"
    for path in $(grep -lazsF -- "$mark" /proc/[0-9]*/environ); do
      pid=${path//[!0-9]/}
      [[ $(ps -o pgid= -p "$pid") -eq $$ ]] || kill -KILL "$pid"
    done
    kill -KILL -- -$$
  ) </dev/null >/dev/null 2>&1 &
  eval "exec $lifeline<&-"
fi
if [[ -n $memory ]]; then ulimit -v "$memory" 2>/dev/null; fi
if [[ -n $cpus ]] && command -v taskset >/dev/null; then taskset -pc "$cpus" $$ >/dev/null; fi
if [[ -n $setup ]]; then
  bash --noprofile --norc -e -u -o pipefail "$setup" || finish setup
fi
SECONDS=0
bash --noprofile --norc -e -u -o pipefail "$command"
status=$?
if (( status != 0 )); then echo "ERROR: Script failed with exit code $status after ${SECONDS}s"; fi
finish "$status"
"""


@dataclass(frozen=True)
class NodeSpec:
    """What a node needs to start.

    :param directory: the node's own directory.
    :param command: the script.
    :param variables: its whole environment; the mark tells its processes apart.
    :param keep: the process may outlive the server.
    :param memory: bytes of address space that each process may take; 0 for no limit.
    :param cpus: the processors it may use, as ``taskset`` writes them; empty for all.
    :param setup: a script that runs before the command.
    """

    directory: Path
    command: Path
    variables: Mapping[str, str] = field(repr=False)
    keep: bool = False
    memory: int = 0
    cpus: str = ""
    setup: Path | None = None


class NodeProcess:
    """A command that runs, or ran: its state lies in the node's directory and survives the server.

    :param directory: the node's directory.
    :param pid: process id, and id of the process group.
    :param mark: value of ``DATABRICKS_AIR_LOCAL_NODE`` in its environment.
    :param child: the process, when this server started it.
    """

    def __init__(self, directory: Path, pid: int, mark: str, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.mark = mark
        self._directory = directory
        self._child = child
        self._status = directory / "exit_status"
        self._output: IO[bytes] = (directory / "output.log").open("rb")
        self._rest = b""
        self._offset = 0
        #: Whether the last piece that was read is all there is for now.
        self.at_end = True

    @classmethod
    def start(cls, spec: NodeSpec, lifeline: int) -> NodeProcess:
        """Start a command.

        :param lifeline: read end of a pipe whose write end only the server holds.
        """
        work = spec.directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        arguments = [
            *(str(spec.command), str(spec.directory / "exit_status"), "" if spec.keep else str(lifeline)),
            *(str(spec.memory // 1024 or ""), spec.cpus, str(spec.setup or "")),
        ]
        with (spec.directory / "output.log").open("ab") as sink:
            child = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-c", _WRAPPER, "node", *arguments],
                cwd=work,
                env=dict(spec.variables),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                umask=0o022,  # the platform's; the server's own files are nobody else's business
                pass_fds=() if spec.keep else (lifeline,),
            )
        process = cls(spec.directory, child.pid, spec.variables[MARK], child)
        (spec.directory / "process.json").write_text(json.dumps({"pid": child.pid, "mark": process.mark}))
        return process

    @classmethod
    def found(cls, directory: Path) -> NodeProcess | None:
        """Return the process that an earlier server started in a directory, alive or not."""
        try:
            kept = json.loads((directory / "process.json").read_text())
            return cls(directory, kept["pid"], kept["mark"], None)
        except (OSError, ValueError):
            return None

    def seek(self, offset: int) -> None:
        """Go on reading the output from an offset."""
        self._output.seek(offset)
        self._offset = offset

    def read_lines(self, *, final: bool = False) -> list[tuple[str, int]]:
        """Return new lines of the output and where each ends.

        :param final: nothing more will come; a last line without its end counts.
        """
        piece = self._output.read(_PIECE)
        self.at_end = len(piece) < _PIECE
        data = self._rest + piece
        lines = [line + b"\n" for line in data.split(b"\n")]
        self._rest = lines.pop()[:-1]
        if self._rest and ((final and self.at_end) or len(self._rest) >= _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        found = []
        for line in lines:
            self._offset += len(line)
            found.append((line.rstrip(b"\r\n").decode("utf-8", "replace"), self._offset))
        return found

    def discard(self) -> None:
        """Give the space of what was printed so far back to the disk; nobody will read it again."""
        if self._child is not None:  # the wrapper appends: what it prints next is at the beginning
            os.truncate(self._directory / "output.log", 0)
            self._output.seek(0)

    def poll(self) -> int | str | None:
        """Return the exit status when it ended; negative for a signal, ``setup`` when it never began."""
        code = self._child.poll() if self._child is not None else self._poll_stranger()
        if code is None:
            return None
        try:
            text = self._status.read_text()
            return text if text == _SETUP_FAILED else int(text)
        except (OSError, ValueError):
            return code

    def _poll_stranger(self) -> int | None:
        try:
            running = f"{MARK}={self.mark}".encode() in _environment(self.pid)
        except OSError:
            # Its arguments name its directory; where there is an environment to read, the process is gone.
            running = not PROCESSES.exists() and str(self._directory) in _arguments(self.pid)
        return None if running else KILLED

    def kill(self) -> None:
        """Kill the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            if self._child is not None or self._poll_stranger() is None:
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Release the output file."""
        self._output.close()


def can_sweep() -> bool:
    """Return whether this system shows which processes belong to a node, and can limit their resources."""
    return (PROCESSES / "self" / "environ").exists()


def kill_marked(marks: set[str]) -> None:
    """Kill all processes of some nodes, also those that left their group; Linux only.

    :param marks: values of ``DATABRICKS_AIR_LOCAL_NODE``.
    """
    wanted = [f"{MARK}={mark}".encode() for mark in marks]
    found = True
    while found:  # once more when something was found: it may have forked in the meantime
        found = False
        for path in PROCESSES.glob("[0-9]*/environ"):
            with suppress(OSError):
                environment = path.read_bytes()
                if any(mark in environment for mark in wanted):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    found = True


def _environment(pid: int) -> bytes:
    return (PROCESSES / str(pid) / "environ").read_bytes()


def _arguments(pid: int) -> str:
    """Return the command line of a process; empty when there is none."""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout
