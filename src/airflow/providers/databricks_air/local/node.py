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
"""One node of one attempt: its directory, its variables and the process that runs the command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CommandError", "NodeProcess", "NodeSpec", "extract_code", "kill_escaped", "sidecar_variables"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHUNK = 256 * 1024

# $1 command, $2 where the exit status goes, $3 the descriptor that closes when the server dies (or empty).
# The watcher kills what left the group too, by the mark in its environment (Linux).
WRAPPER = r"""
if [[ -n $3 ]]; then
  lifeline=$3
  (
    read -r _ <&"$lifeline"
    escaped=$(grep -lazsF -- "DATABRICKS_AIR_LOCAL_NODE=$DATABRICKS_AIR_LOCAL_NODE" /proc/[0-9]*/environ)
    for path in $escaped; do
      pid=${path//[!0-9]/}
      [[ $(ps -o pgid= -p "$pid") -eq $$ ]] || kill -KILL "$pid"
    done
    kill -KILL -- -$$
  ) </dev/null >/dev/null 2>&1 &
  exec {lifeline}<&-
fi
bash --noprofile --norc -e -u -o pipefail "$1"
status=$?
if (( status != 0 )); then echo "ERROR: Script failed with exit code $status after ${SECONDS}s"; fi
printf %s "$status" >"$2.part" && mv "$2.part" "$2"
kill -KILL -- -$$
"""


class CommandError(Exception):
    """A node could not be prepared; the message says why, in the words a user needs."""


@dataclass(frozen=True)
class NodeSpec:
    """What a node needs to start.

    :param directory: the node's own directory.
    :param command: the script.
    :param variables: its whole environment.
    :param keep: the process may outlive the server.
    :param prefix: commands before the shell, for limits.
    """

    directory: Path
    command: Path
    variables: Mapping[str, str]
    keep: bool = False
    prefix: tuple[str, ...] = ()


class NodeProcess:
    """A running command, in a process group of its own.

    :param lifeline: descriptor of a pipe that the server holds open.
    """

    def __init__(self, spec: NodeSpec, lifeline: int) -> None:
        self.spec = spec
        self._status = spec.directory / "exit_status"
        self._status.unlink(missing_ok=True)
        work = spec.directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        output = spec.directory / "output.log"
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                [*spec.prefix, "bash", "--noprofile", "--norc", "-c", WRAPPER, "node", str(spec.command),
                 str(self._status), "" if spec.keep else str(lifeline)],
                cwd=work, env=dict(spec.variables), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True, pass_fds=() if spec.keep else (lifeline,),
            )  # fmt: skip
        self.pid = self._process.pid
        self.mark = spec.variables["DATABRICKS_AIR_LOCAL_NODE"]
        self._output: IO[bytes] = output.open("rb")
        self._rest = b""
        self.offset = 0

    def seek(self, offset: int) -> None:
        """Go on reading the output from an offset."""
        self._output.seek(offset)
        self.offset = offset

    def read_lines(self, *, final: bool = False) -> list[tuple[str, int]]:
        """Return the new lines of the output and where each ends.

        :param final: nothing more will come; a last line without its end counts.
        """
        data = self._rest + self._output.read(_CHUNK)
        lines = [line + b"\n" for line in data.split(b"\n")]
        self._rest = lines.pop()[:-1]
        if self._rest and (final or len(self._rest) >= _CHUNK):
            lines.append(self._rest)
            self._rest = b""
        found = []
        for line in lines:
            self.offset += len(line)
            found.append((line.rstrip(b"\r\n").decode("utf-8", "replace"), self.offset))
        return found

    def poll(self) -> int | None:
        """Return the command's exit status when it ended: negative for the signal that killed all of it."""
        code = self._process.poll()
        if code is None:
            return None
        try:
            return int(self._status.read_text())
        except (OSError, ValueError):
            return code

    def kill(self) -> None:
        """Kill the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Release the output file."""
        self._output.close()


def kill_escaped(marks: set[str]) -> None:
    """Kill the processes that left their group, known by the mark in their environment; Linux only.

    :param marks: values of ``DATABRICKS_AIR_LOCAL_NODE``.
    """
    wanted = [f"DATABRICKS_AIR_LOCAL_NODE={mark}".encode() for mark in marks]
    found = True
    while found:  # once more when something was found: it may have forked in the meantime
        found = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                environment = path.read_bytes()
                if any(mark in environment for mark in wanted):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    found = True


def sidecar_variables(launch: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the files beside the command define.

    :param secrets: values by ``scope/key``.
    :raises CommandError: when a file is not what it should be, or a secret does not exist.
    """
    variables = {
        item["name"]: item["value"] for item in _sidecar(launch / "env_vars.json", ("name", "value"))
    }
    for item in _sidecar(launch / "secret_env_vars.json", ("name", "secret_scope", "secret_key")):
        reference = f"{item['secret_scope']}/{item['secret_key']}"
        if reference not in secrets:
            raise CommandError(
                f"Secret does not exist with scope: {item['secret_scope']} and key: {item['secret_key']}"
            )
        variables[item["name"]] = secrets[reference]
    return variables


def _sidecar(path: Path, keys: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.exists():
        return []
    try:
        items: Any = json.loads(path.read_bytes())
    except ValueError:
        raise CommandError(f"{path.name} is not JSON") from None
    if not isinstance(items, list):
        raise CommandError(f"{path.name} is not a JSON array")
    for item in items:
        if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
            raise CommandError(f"{path.name}: every entry needs the strings {', '.join(keys)}")
        if not _NAME.fullmatch(item["name"]) or any("\0" in item[key] for key in keys):
            raise CommandError(f"{path.name}: {item['name']!r} cannot be an environment variable")
    return items


def extract_code(archive: Path, target: Path) -> Path:
    """Extract a snapshot below a directory and return the directory it holds.

    :raises CommandError: when it is not an archive, climbs out, or has not exactly one top directory.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(target, filter="data")
            else:  # Python before 3.10.12 and 3.11.4
                tar.extractall(target, [member for member in tar if _stays_inside(member)])  # noqa: S202 - checked one by one
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CommandError(f"The code source is not a usable .tar.gz archive: {error}") from None
    tops = list(target.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise CommandError("The code source must hold exactly one top-level directory")
    return tops[0]


def _stays_inside(member: tarfile.TarInfo) -> bool:
    """Say whether a member may be extracted.

    :raises tarfile.TarError: when it, or what it links to, lies outside of the archive's own directory, or
        when it is no file, directory or link.
    """
    names = [member.name]
    if member.islnk():
        names.append(member.linkname)
    elif member.issym():
        names.append(os.path.join(os.path.dirname(member.name), member.linkname))
    elif not (member.isreg() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name!r} is neither a file, a directory nor a link")
    for name in names:
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
            raise tarfile.ExtractError(f"{name!r} lies outside of the archive's own directory")
    return True
