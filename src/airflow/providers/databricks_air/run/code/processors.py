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
"""How many processors this process may use: a container may have a part of those of its machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["processors"]


def processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, at least one.

    :param root: where ``sys/fs/cgroup`` and ``proc`` are.
    """
    quota = _quota(root)
    return max(1, _allowed() if quota is None else min(_allowed(), math.ceil(quota)))


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """Return the smallest limit of the control groups around this process, of either version."""
    top = root / "sys/fs/cgroup"
    found = [_second_version(folder) for folder in _around(top, _group(root, ""))]
    for name in ("cpu", "cpu,cpuacct"):
        found += [_first_version(folder) for folder in _around(top / name, _group(root, "cpu"))]
    return min((quota for quota in found if quota is not None), default=None)


def _group(root: Path, controller: str) -> str:
    """Return the control group of this process, as ``/proc`` tells it; the top one where it does not."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    parts = (line.split(":", 2) for line in lines if line.count(":") >= 2)
    return next((path for _, names, path in parts if controller in names.split(",")), "/")


def _around(top: Path, group: str) -> list[Path]:
    """Return the folders from the top to *group*; within a container, the top is often its own."""
    names = [name for name in group.split("/") if name not in ("", "..")]
    return [top.joinpath(*names[:count]) for count in range(len(names) + 1)]


def _second_version(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        # There is no limit (``max``), or no such file.
        return None


def _first_version(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
