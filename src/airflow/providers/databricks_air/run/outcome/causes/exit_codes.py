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
"""The exit codes that a log tells: of the processes of a training, and of the command as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow.providers.databricks_air.run.outcome.causes.cause import CauseKind, Diagnosis, Weight
from airflow.providers.databricks_air.run.outcome.causes.known_errors import HINTS
from airflow.providers.databricks_air.run.outcome.causes.tracebacks import PlainLine

__all__ = ["ends", "exit_code"]

_SIGNALS = {
    4: ("crash", "SIGILL"),
    6: ("crash", "SIGABRT"),
    7: ("crash", "SIGBUS"),
    8: ("crash", "SIGFPE"),
    9: ("killed", "SIGKILL"),
    11: ("crash", "SIGSEGV"),
    15: ("terminated", "SIGTERM"),
}
_SHELL = {
    126: ("permission", "a program cannot be executed"),
    127: ("missing_program", "a program was not found"),
}
_SIGNAL = re.compile(r"\bSignal (\d{1,2}) \(SIG[A-Z]+\) received by PID \d+$")
_CODES = (
    re.compile(r"^\s{0,8}exitcode\s{0,4}: (-?\d{1,3}) \(pid: \d+\)$"),
    re.compile(r"\bfailed \(exitcode: (-?\d{1,3})\) local_rank: \d+ \(pid: \d+\)"),
    re.compile(r"\bexits with return code = (-?\d{1,3})$"),
)
_TELLING = ("exitcode", "return code", "received by PID", "ERROR: Script failed")
_COMMAND_END = re.compile(r"^ERROR: Script failed with exit code ([1-9]\d{0,2}) after (\S{1,20})$")
_PYTHON_ERROR = 1


def ends(lines: Iterable[PlainLine]) -> Iterator[Diagnosis]:
    """Yield how processes and the command as a whole ended.

    Python's own exit code, 1, of a process is left out: a launcher then tells only that it failed.

    :param lines: of one process, oldest first.
    """
    for line in lines:
        # Searching for plain words first is a hundred times faster.
        if any(word in line.text for word in _TELLING):
            found = _process_end(line) or _command_end(line)
            if found is not None:
                yield found


def exit_code(line: PlainLine) -> int | None:
    """Return the exit code of the command, if this is the line in which the node tells it."""
    match = _COMMAND_END.match(line.text)
    return int(match.group(1)) if match else None


def _process_end(line: PlainLine) -> Diagnosis | None:
    if match := _SIGNAL.search(line.text):
        return _diagnosis("A process of the training", -int(match.group(1)), line.at, Weight.LAUNCHER)
    match = next((match for code in _CODES if (match := code.search(line.text))), None)
    if match is None or int(match.group(1)) in (0, _PYTHON_ERROR):
        return None
    return _diagnosis("A process of the training", int(match.group(1)), line.at, Weight.LAUNCHER)


def _command_end(line: PlainLine) -> Diagnosis | None:
    match = _COMMAND_END.match(line.text)
    if match is None:
        return None
    found = _diagnosis("The command", int(match.group(1)), line.at, Weight.EXIT_CODE)
    return found._replace(fact=f"{found.fact} after {match.group(2)}")


def _diagnosis(who: str, code: int, at: int, weight: Weight) -> Diagnosis:
    """Return what an exit code means: negative for a signal, or 128 and the signal, as shells tell it."""
    name, meaning = _SIGNALS.get(-code if code < 0 else code - 128) or _SHELL.get(code, ("exit_code", ""))
    kind = CauseKind.UNKNOWN if name in {"killed", "terminated"} else CauseKind.USER_CODE
    fact = f"{who} ended with exit code {code}" + (f" ({meaning})" if meaning else "")
    return Diagnosis(name, fact, HINTS[name], kind, weight, at)
