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
"""Who asked: the process at the other end of a connection of this machine, on Linux."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["kill_caller"]

_INODE = 9


def kill_caller(http: web.Request) -> bool:
    """Kill the process that sent a request, as the kernel does when memory is short; never our own.

    :return: whether it was found.
    """
    ends = (
        [http.transport.get_extra_info(name) for name in ("peername", "sockname")] if http.transport else []
    )
    pid = _owner(_inode([end[1] for end in ends])) if all(ends) else 0
    if pid in {0, os.getpid()}:
        return False
    os.kill(pid, signal.SIGKILL)
    return True


def _inode(ports: list[int]) -> str:
    """Return the number of the socket with these ports, its own first; empty when there is none."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if [int(address.rpartition(":")[2], 16) for address in fields[1:3]] == ports:
                    return fields[_INODE]
    return ""


def _owner(inode: str) -> int:
    for link in Path("/proc").glob("[0-9]*/fd/*") if inode else ():
        with suppress(OSError):
            if os.readlink(link) == f"socket:[{inode}]":
                return int(link.parts[2])
    return 0
