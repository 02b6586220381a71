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
"""A Python function as the command of a run: what may be sent, and the script that calls it on the node."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import dis
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from types import CodeType
from typing import Any

from airflow.providers.databricks_air.run.outcome.returned import FAILED_MARK, LONGEST_RESULT, MARK, PIECE

__all__ = ["FunctionError", "arguments_json", "check_function", "check_source", "command_of"]

MOST_LINES = 900
_END = "AIRFLOW_FUNCTION_ENDS_HERE"
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_STORES = {"STORE_NAME", "STORE_GLOBAL"}
_EVERYWHERE = {
    *vars(builtins),
    "__name__",
    "__file__",
    "__doc__",
    "__annotations__",
    "__module__",
    "__qualname__",
}


class FunctionError(ValueError):
    """A function, or what it is called with, cannot be sent to a node."""


def check_function(function: Callable[..., Any]) -> None:
    """Check that a function has a source that can stand alone.

    :param function: as the Dag file has it.
    :raises FunctionError: naming the function and what to write instead.
    """
    name = getattr(function, "__name__", repr(function))
    if name == "<lambda>":
        raise FunctionError("a lambda has no source of its own to send: write a function with def")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise FunctionError(f"{name}: write a plain function, which returns its result")
    captured = inspect.unwrap(function).__code__.co_freevars
    if captured:
        raise FunctionError(
            f"{name}: {_some(captured)} of the function around it is not there on the node. Hand it over as an argument"
        )


def check_source(name: str, source: str) -> None:
    """Check that the source of a function needs nothing of the Dag file.

    :param name: of the function.
    :param source: without the decorator, as Airflow's own virtualenv decorator sends it.
    :raises FunctionError: naming the function, the names and what to write instead.
    """
    tree = ast.parse(source)
    definition = tree.body[0]
    decorators = getattr(definition, "decorator_list", [])
    if decorators:
        raise FunctionError(
            f"{name}: @{ast.unparse(decorators[0]).partition('(')[0]} would be sent with the function. "
            "Write the decorator as @task.air_run, and no other"
        )
    if len(source.splitlines()) > MOST_LINES or f"\n{_END}\n" in source:
        raise FunctionError(
            f"{name}: has {len(source.splitlines())} lines; a command has at most 1000. "
            "Put the code into a module, and name its directory as code_source"
        )
    code = compile("from __future__ import annotations\n" + source, f"<{name}>", "exec")
    missing = sorted(set(_names(code, _LOADS)) - set(_names(code, _STORES)) - _EVERYWHERE)
    if missing:
        raise FunctionError(
            f"{name}: {_some(missing)} of the Dag file is not there on the node. "
            "Import inside the function, and hand values over as arguments"
        )


def arguments_json(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return what a function is called with as JSON text.

    :param function: what will be called.
    :param args: rendered.
    :param kwargs: rendered.
    :raises FunctionError: naming the argument that is no JSON, path or dataclass, or that is missing.
    """
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        hint = "A node knows nothing of Airflow's context: hand over what the function needs"
        raise FunctionError(f"{function.__name__}: {error}. {hint}") from None
    call = {
        "args": [_encoded(value, f"argument {index + 1}") for index, value in enumerate(bound.args)],
        "kwargs": {name: _encoded(value, f"argument {name}") for name, value in bound.kwargs.items()},
    }
    return json.dumps(call, separators=(",", ":"))


def command_of(name: str, source: str, arguments: str, launcher: str = "python3") -> str:
    """Return the shell script that calls a function on every node, and prints what the first one returns.

    :param name: of the function.
    :param source: of the function.
    :param arguments: from :func:`arguments_json`.
    :param launcher: what runs a Python file, such as ``torchrun --nproc-per-node 8``.
    """
    script = _SCRIPT.format(
        source=source,
        name=name,
        arguments=arguments,
        mark=MARK,
        failed=FAILED_MARK,
        piece=PIECE,
        longest=LONGEST_RESULT,
    )
    return (
        'directory="$(mktemp -d)"\n'
        f"cat >\"$directory/{name}.py\" <<'{_END}'\n{script}{_END}\n"
        'export PYTHONPATH="${CODE_SOURCE_PATH:+$CODE_SOURCE_PATH:}${PYTHONPATH:-}" PYTHONUNBUFFERED=1\n'
        f'{launcher} "$directory/{name}.py"\n'
    )


def _names(code: CodeType, operations: set[str]) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in operations)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant, operations)


def _encoded(value: Any, where: str) -> Any:
    """Return a value as JSON values; what JSON has no word for is a mapping with one key that begins with $."""
    if (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    if isinstance(value, PurePath):
        return {"$path": str(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        encoded = {name: _encoded(part, f"{where}.{name}") for name, part in fields.items()}
        return {"$dataclass": [type(value).__name__, encoded]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        encoded = {key: _encoded(part, f"{where}[{key!r}]") for key, part in value.items()}
        return {"$mapping": encoded} if any(key.startswith("$") for key in encoded) else encoded
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_encoded(part, f"{where}[{index}]") for index, part in enumerate(value)]
    raise FunctionError(
        f"{where}: {value!r:.200} ({type(value).__name__}) is neither JSON, a path nor a dataclass. "
        "Hand over numbers, text, lists and mappings with text keys"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" and more" if len(names) > 5 else "")


_SCRIPT = """\
from __future__ import annotations


{source}

def _airflow_decoded(value):
    import dataclasses
    import pathlib

    if isinstance(value, list):
        return [_airflow_decoded(part) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {{"$path"}}:
        return pathlib.Path(value["$path"])
    if set(value) == {{"$dataclass"}}:
        name, fields = value["$dataclass"]
        decoded = {{key: _airflow_decoded(part) for key, part in fields.items()}}
        return dataclasses.make_dataclass(name, list(decoded))(**decoded)
    if set(value) == {{"$mapping"}}:
        value = value["$mapping"]
    return {{key: _airflow_decoded(part) for key, part in value.items()}}


def _airflow_returned(value):
    import dataclasses
    import json
    import pathlib
    import zlib

    def plain(part):
        if dataclasses.is_dataclass(part):
            return dataclasses.asdict(part)
        if isinstance(part, pathlib.PurePath):
            return str(part)
        if hasattr(part, "item"):
            return part.item()
        raise TypeError(f"{{type(part).__name__}} is no JSON")

    try:
        text = json.dumps(value, default=plain, allow_nan=False)
    except Exception as error:
        print(f"\\n{failed} the result is no JSON: {{error}}", flush=True)
        return
    if len(text) > {longest}:
        print(f"\\n{failed} the result has {{len(text):,}} characters, more than {longest:,}", flush=True)
        return
    pieces = [text[start : start + {piece}] for start in range(0, len(text), {piece})]
    for number, piece in enumerate(pieces, 1):
        print(f"\\n{mark} {{number}}/{{len(pieces)}} {{zlib.crc32(text.encode()):08x}} {{piece}}|", flush=True)


def _airflow_main():
    import json
    import os

    call = json.loads({arguments!r})
    value = {name}(*_airflow_decoded(call["args"]), **{{k: _airflow_decoded(v) for k, v in call["kwargs"].items()}})
    if int(os.environ.get("RANK", os.environ.get("NODE_RANK", "0"))) == 0:
        _airflow_returned(value)


if __name__ == "__main__":
    _airflow_main()
"""
