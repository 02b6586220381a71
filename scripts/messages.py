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
"""Write docs/troubleshooting.rst: every message of the sources, and every cause that a failed run's log is read for.

Run it as ``python -m scripts.messages``; with ``--check`` it only says whether the page is current.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from airflow.providers.databricks_air.run.outcome.causes.fatal_lines import FATAL_LINES
from airflow.providers.databricks_air.run.outcome.causes.known_errors import HINTS, KNOWN_ERRORS
from scripts.generated_page import write_or_check

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src/airflow/providers/databricks_air"
TARGET = ROOT / "docs/troubleshooting.rst"

HEAD = """\
.. Made from the sources by scripts/messages.py; change the messages, not this page.

Find out what a message means
=============================

Every message says what is wrong, where, and what to do. This page lists them by what was being done, so that a search
finds the line that you see; ``…`` stands for a name, a value or a place. A message that is not here was said by the
workspace, by git or by Airflow, and is passed on as it is.

A run failed
------------

The first line of the task's error is the fact. Where its cause is recognised, one of these stands below it; in brackets
is the cause as ``retry_on`` names it (:doc:`logs`):

"""

#: Where a message comes from, and what the reader was doing then; the first that fits.
ROOMS = (
    ("run/config|run/document|run/load|run/older", "The run configuration"),
    ("run/code", "The code directory"),
    ("lifecycle/launch|api/launch|run/launch", "The launch"),
    ("api/http|api/sign_in|hooks", "The connection and the network"),
    ("cli", "The command line"),
    ("run/outcome|arguments|api/logs|decorators|sweep", "The arguments of an operator or a sensor"),
    ("", "The task and its run"),
)
_WORD = re.compile(r"[a-z]{2}")
_SAYS = re.compile(r"(?:Error|^mistake)$")
#: Positions of the arguments that people read, by what is called; the first of all others.
_READ = {"FieldError": (1, 2), "mistake": (0, 1)}
#: What only a mistake in this package raises.
_INTERNAL = {"AssertionError", "AttributeError", "PydanticCustomError", "HaltedError"}


class Message(NamedTuple):
    """What a place in the sources can say.

    :param room: the heading that it stands under.
    :param text: the message, with ``…`` for what varies.
    :param remedy: what to do, where that is a part of its own.
    """

    room: str
    text: str
    remedy: str


def messages() -> set[Message]:
    """Return every message that an error of the sources is made with."""
    return {
        message
        for path in sorted(SOURCES.rglob("*.py"))
        for message in _of_module(
            ast.parse(path.read_text(encoding="utf-8")), path.relative_to(SOURCES).as_posix()
        )
    }


def _of_module(module: ast.Module, path: str) -> Iterator[Message]:
    room = next(name for places, name in ROOMS if re.match(places, path))
    scopes = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    seen: set[ast.AST] = set()
    everywhere = _assigned(module)
    # The innermost function knows what its names stand for.
    for scope in [*reversed(scopes), module]:
        known = {**everywhere, **_assigned(scope)}
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and node not in seen:
                seen.add(node)
                yield from _of_call(node, known, room)


def _assigned(scope: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = (
                    zip(target.elts, node.value.elts, strict=False)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                for name, value in pairs:
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(value)
    return found


def _of_call(call: ast.Call, known: dict[str, list[ast.expr]], room: str) -> Iterator[Message]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if not _SAYS.search(name) or name in _INTERNAL:
        return
    texts = [_texts(call.args[at], known) for at in _READ.get(name, (0,)) if at < len(call.args)]
    said, remedies = [*texts, [], []][:2]
    # Which remedy belongs to which of several messages is only known when it is said.
    remedy = remedies[0].strip() if len(said) == len(remedies) == 1 else ""
    for text in said:
        if _WORD.search(text):
            yield Message(room, text.strip(), remedy if _WORD.search(remedy) else "")


def _texts(node: ast.expr, known: dict[str, list[ast.expr]]) -> list[str]:
    """Return what an expression may be as text, with ``…`` for what is only known later; nothing when all of it is."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
        return ["".join(parts)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        pairs = (_texts(node.left, known) or ["…"], _texts(node.right, known) or ["…"])
        return [left + right for left in pairs[0] for right in pairs[1]]
    if isinstance(node, ast.IfExp):
        return _texts(node.body, known) + _texts(node.orelse, known)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _texts(value, known)]
    if isinstance(node, ast.Name):
        return [text for value in known.get(node.id, []) for text in _texts(value, {})]
    return []


def page() -> str:
    """Return the text of the page."""
    licence = (ROOT / "docs/configuration.rst").read_text(encoding="utf-8").partition("\n\nRun config")[0]
    lines = [f"- {_literal(hint)} ({', '.join(sorted(kinds))})" for hint, kinds in sorted(_hints().items())]
    found = messages()
    for _, room in ROOMS:
        here = sorted({(message.text, message.remedy) for message in found if message.room == room})
        if here:
            lines += ["", room, "-" * len(room), ""]
            lines += [f"- {_literal(text)}{_below(remedy)}" for text, remedy in here]
    return f"{licence}\n\n{HEAD}" + "\n".join(lines) + "\n"


def _hints() -> dict[str, set[str]]:
    """Return what is said below a recognised cause, with the names in ``retry_on`` that it may have."""
    found: dict[str, set[str]] = {}
    for name, *_, kind, _weight in (*FATAL_LINES, *KNOWN_ERRORS):
        if name in HINTS:
            found.setdefault(HINTS[name], set()).add(f"``{kind.value}``")
    return found


def _below(remedy: str) -> str:
    return f"\n  {_literal(remedy)}" if remedy else ""


def _literal(text: str) -> str:
    plain = " ".join(text.replace("\\", "\\\\").split())
    return re.sub(r"([*`|_])", r"\\\1", plain)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is current.

    :param arguments: of the command line.
    """
    return write_or_check(TARGET, page(), "scripts.messages", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
