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
"""Lines that end a program and are no Python traceback: of the kernel, the shell, launchers and libraries.

A row is tried only where its ``needle`` stands in the line. Its expression begins at the start of the line or
at a word that stands nowhere else, and has no two parts that could share the same characters: the time that
it takes grows with the length of the line and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from airflow.providers.databricks_air.run.outcome.causes.cause import CauseKind, Diagnosis, Weight
from airflow.providers.databricks_air.run.outcome.causes.known_errors import HINTS
from airflow.providers.databricks_air.run.outcome.causes.tracebacks import LONGEST_FACT, PlainLine

__all__ = ["FATAL_LINES", "fatal_lines"]

_USER, _INFRA, _UNKNOWN = CauseKind.USER_CODE, CauseKind.INFRASTRUCTURE, CauseKind.UNKNOWN
_CONFIG = CauseKind.CONFIGURATION
_KERNEL = r"^(?:.{0,80}\bkernel: ?|.{0,20}\[[ \d.]{1,20}\] ?)?"
_SHELL = r"^(?:[^\s:]+: line \d+: |(?:[^\s:]*/)?(?:ba|da|z|k)?sh: (?:\d+: |line \d+: )?|[^\s:]+\.sh: \d+: )"
_SHELL_JOB = r"^(?:[^\s:]+: line \d+:\s+\d+ )?"


class _Fatal(NamedTuple):
    name: str
    needle: str
    expression: re.Pattern[str]
    kind: CauseKind
    weight: Weight


def _fatal(name: str, kind: CauseKind, needle: str, expression: str, weight: Weight = Weight.CAUSE) -> _Fatal:
    return _Fatal(name, needle, re.compile(expression), kind, weight)


FATAL_LINES = (
    _fatal(
        "cuda_memory",
        _USER,
        "CUDA out of memory",
        r"^(?:[\w.]+Error: |E +)?CUDA out of memory(?:\.? Tried to allocate|\.?$)",
    ),
    _fatal("cuda_memory", _USER, "OutOfMemoryError: ", r"^torch(?:\.cuda)?\.OutOfMemoryError: "),
    _fatal(
        "host_memory",
        _USER,
        "ut of memory: Kill",
        _KERNEL + r"(?:Memory cgroup o|O)ut of memory: Kill(?:ed)? process \d",
    ),
    _fatal("host_memory", _USER, "oom-kill:", _KERNEL + r"oom-kill:constraint="),
    _fatal("host_memory", _USER, "oom", r"^slurmstepd: error: Detected \d+ oom[_-]kill event"),
    _fatal(
        "gpu_fault",
        _INFRA,
        "Xid (PCI",
        r"\bXid \(PCI:[0-9a-fA-F:.]{4,20}\): (?:48|64|74|79|94|95|119|120)\b",
    ),
    _fatal("shared_memory", _USER, "bus error", r"^ERROR: Unexpected bus error encountered in worker"),
    _fatal(
        "crash",
        _USER,
        "(core dumped)",
        _SHELL_JOB + r"(?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating point exception)"
        r" +\(core dumped\)(?:\s|$)",
    ),
    *(
        _fatal("crash", _USER, word, _SHELL_JOB + word + r"(?:\s{2,}\S.*)?$")
        for word in ("Segmentation fault", "Bus error", "Illegal instruction")
    ),
    _fatal("crash", _USER, "Fatal Python error", r"^Fatal Python error: (?:Segm|Abort|Bus|Illegal|Floating)"),
    _fatal("crash", _USER, "Segfault encountered", r"^!+ ?Segfault encountered ?!+"),
    _fatal("crash", _USER, "terminate called", r"^terminate called (?:after throwing|without an active)"),
    _fatal(
        "crash", _USER, "received signal ***", r"^(?:\[\S{1,80}\] )?\*\*\* Process received signal \*\*\*"
    ),
    _fatal("missing_program", _USER, "not found", _SHELL + r"[^\s:]+: (?:command )?not found$"),
    _fatal("missing_program", _USER, "found in $PATH", r"\bexecutable file not found in \$PATH"),
    _fatal("missing_file", _USER, "can't open file", r"^\S*python[\d.]*: can't open file '"),
    _fatal(
        "missing_file",
        _USER,
        "No such file or directory",
        _SHELL + r"(?:cd: )?[^\s:]+: No such file or directory$",
    ),
    _fatal("missing_module", _USER, "No module named", r"^\S*python[\d.]*: No module named "),
    _fatal("permission", _USER, "Permission denied", _SHELL + r"[^\s:]+: Permission denied$"),
    _fatal("shell", _USER, "unbound variable", _SHELL + r"\w+: unbound variable$"),
    _fatal("shell", _USER, "syntax error", _SHELL + r"syntax error(?: near unexpected token|:)"),
    _fatal(
        "arguments",
        _USER,
        "error: ",
        r"^[\w./-]+: error: (?:unrecognized arguments|the following arguments are required|argument \S+:"
        r"|ambiguous option|one of the arguments)",
    ),
    _fatal(
        "arguments",
        _USER,
        "Error: ",
        r"^Error: (?:No such option|Missing option|Invalid value for|Got unexpected)",
    ),
    _fatal("disk_full", _USER, "No space left", r": (?:\[Errno 28\] )?No space left on device$"),
    _fatal("killed", _UNKNOWN, "Killed", _SHELL_JOB + r"Killed(?:\s{2,}\S.*)?$"),
    _fatal(
        "terminated", _UNKNOWN, "Terminated", _SHELL_JOB + r"Terminated(?:\s{2,}\S.*)?$", Weight.CONSEQUENCE
    ),
    _fatal(
        "dependencies",
        _USER,
        "ERROR: ",
        r"^ERROR: (?:No matching distribution found for|ResolutionImpossible)",
    ),
    _fatal(
        "dependencies",
        _USER,
        "ERROR: ",
        r"^ERROR: (?:Could not find a version|Cannot install .{1,300} because)",
    ),
    _fatal(
        "dependencies",
        _USER,
        "ERROR: ",
        r"^ERROR: (?:Failed (?:building wheel|to build installable wheels)|Could not build wheels)",
    ),
    _fatal(
        "dependencies", _USER, "No solution found", r"^\s*(?:×|x|error:) No solution found when resolving"
    ),
    _fatal(
        "dependencies", _USER, "ailed to", r"^\s*(?:×|x) Failed to (?:build|download|download and build) "
    ),
    _fatal(
        "preempted",
        _INFRA,
        "preempted",
        r"\b(?:node|instance|worker|VM) (?:was|is being|has been) preempted\b",
    ),
    _fatal(
        "preempted",
        _INFRA,
        "interruption",
        r"(?i)\bspot (?:instance )?interruption (?:notice|warning) received",
    ),
    _fatal("network", _UNKNOWN, "curl: (", r"^curl: \((?:5|6|7|28|35|52|56)\) "),
    _fatal("network", _UNKNOWN, "fatal: unable to access", r"^fatal: unable to access '[^']{1,300}': "),
    _fatal("access", _CONFIG, "fatal: Authentication", r"^fatal: Authentication failed for "),
    _fatal(
        "nccl",
        _INFRA,
        "NCCL WARN",
        r"\bNCCL WARN NET/\w+ ?: (?:Got completion|Got async|poll failed|ibv_|recv failed)",
        Weight.CONSEQUENCE,
    ),
    _fatal(
        "nccl",
        _UNKNOWN,
        "NCCL WARN",
        r"\bNCCL WARN (?:Cuda failure|socketProgress: Connection closed|Call to \w+ (?:from|to|failed))",
        Weight.CONSEQUENCE,
    ),
    _fatal(
        "collective_timeout",
        _UNKNOWN,
        "collective operation timeout",
        r"\bWatchdog caught collective operation timeout\b",
        Weight.CONSEQUENCE,
    ),
    _fatal(
        "nccl",
        _UNKNOWN,
        "watchdog thread terminated",
        r"\bwatchdog thread terminated with exception: (?:NCCL|CUDA) error",
        Weight.CONSEQUENCE,
    ),
    _fatal(
        "rendezvous",
        _UNKNOWN,
        "[c10d] The client socket has",
        r"\[c10d\] The client socket has timed out after \d+ms while trying to connect",
        Weight.CONSEQUENCE,
    ),
    _fatal(
        "rendezvous",
        _UNKNOWN,
        "DistStoreError: ",
        r"^torch\.distributed\.DistStoreError: ",
        Weight.CONSEQUENCE,
    ),
)


def fatal_lines(lines: Sequence[PlainLine]) -> Iterator[Diagnosis]:
    """Yield what the lines say that end a program; every other line says nothing.

    :param lines: of one process, oldest first.
    """
    whole = "\n".join(line.text for line in lines)
    rows = [row for row in FATAL_LINES if row.needle in whole]
    for line in lines if rows else ():
        row = next(
            (row for row in rows if row.needle in line.text and row.expression.search(line.text)), None
        )
        if row is not None:
            fact = line.text.strip()[:LONGEST_FACT]
            yield Diagnosis(row.name, fact, HINTS.get(row.name, ""), row.kind, row.weight, line.at)
