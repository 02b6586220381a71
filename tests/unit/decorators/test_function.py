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
"""What of a function can be sent to a node, and what its author is told otherwise, when the Dag is parsed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow.providers.databricks_air.decorators.air import air_run_task
from airflow.providers.databricks_air.decorators.function import arguments_json, command_of
from airflow.providers.databricks_air.run.outcome.returned import Returned, parse_returned

THRESHOLD = 3


@dataclasses.dataclass
class Shape:
    """A dataclass of a Dag file."""

    width: int
    where: Path
    inner: Any = None


def call_on_a_node(
    tmp_path: Path, source: str, arguments: str, environment: dict[str, str] | None = None
) -> Returned | None:
    """Run the command of a function as a node does, and return what its output says."""
    (tmp_path / "command.sh").write_text(command_of("train", source, arguments, sys.executable))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", tmp_path / "command.sh"],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "NODE_RANK": "0", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return parse_returned(done.stdout.splitlines())


def anything(*args: Any, **kwargs: Any) -> None:
    """Take any arguments."""


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        0.5,
        "ä \"' \\ $HOME `x` {brace} 'EOF'",
        [1, [2]],
        {"a": {"$path": 1}},
        {},
        "x" * 200_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_comes_and_goes_as_it_is(tmp_path: Path, value: Any) -> None:
    """What is JSON reaches the function unchanged, and comes back unchanged."""
    returned = call_on_a_node(tmp_path, "def train(x): return x\n", arguments_json(anything, [value], {}))
    assert returned == Returned(value)


def test_paths_and_dataclasses_arrive_as_such(tmp_path: Path) -> None:
    """A path arrives as a path, a dataclass with its fields; both may be returned."""
    source = (
        "def train(shape, *, where):\n"
        "    assert shape.where / 'x' == where, where\n"
        "    assert repr(shape).startswith('Shape(width=2'), shape\n"
        "    return [shape, shape.inner.width, where]\n"
    )
    shape = Shape(2, Path("/data"), Shape(3, Path("/other")))
    returned = call_on_a_node(tmp_path, source, arguments_json(anything, [shape], {"where": Path("/data/x")}))
    inner = {"width": 3, "where": "/other", "inner": None}
    assert returned == Returned([{"width": 2, "where": "/data", "inner": inner}, 3, "/data/x"])


@pytest.mark.parametrize(
    ("environment", "speaks"),
    [({"NODE_RANK": "1"}, False), ({"RANK": "1"}, False), ({"RANK": "0"}, True), ({}, True)],
)
def test_one_process_returns(tmp_path: Path, environment: dict[str, str], speaks: bool) -> None:
    """Of all nodes and their processes only the first returns a result."""
    returned = call_on_a_node(
        tmp_path, "def train(): return 7\n", arguments_json(anything, [], {}), environment
    )
    assert returned == (Returned(7) if speaks else None)


@pytest.mark.parametrize(
    ("expression", "said"),
    [("{1}", "is no JSON"), ("float('nan')", "not JSON"), ("'x' * 300_000", "more than")],
)
def test_a_result_that_cannot_be_returned_is_said(tmp_path: Path, expression: str, said: str) -> None:
    """A result that is no JSON, or too long, ends no run: the task says it."""
    source = f"def train(): return {expression}\n"
    returned = call_on_a_node(tmp_path, source, arguments_json(anything, [], {}))
    assert returned is not None
    assert said in returned.error
    assert returned.value is None


def test_a_torn_result_is_none(tmp_path: Path) -> None:
    """A result of which a part is missing or changed is not taken for a whole one."""
    text = [f"AIRFLOW_RESULT {part}/2 00000000 {piece}|" for part, piece in ((1, "[1,"), (2, "2]"))]
    assert parse_returned(text) is None
    assert parse_returned(text[:1]) is None
    assert parse_returned([]) is None


def outer() -> Callable[..., Any]:
    """Return a function that needs what is around it."""
    captured = 4

    def inner() -> int:
        return captured

    return inner


async def waits() -> None:
    """Be no plain function."""


def uses_the_file() -> int:
    """Use a name of this file, deep inside."""
    return [json.dumps(THRESHOLD) for _ in range(2)]  # type: ignore[return-value]


def takes(value: Any, ti: Any = None) -> None:
    """Take an argument, and Airflow's context."""


def stands_alone(value: int, *more: int) -> list[int]:
    """Use nothing but builtins and itself."""
    import math as m

    class Inner:
        size = m.floor(2.5)

        def grow(self) -> int:
            return self.size + value

    return sorted(each + Inner().grow() for each in more) or [len(stands_alone.__name__)]


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (lambda: 1, (), "a lambda has no source of its own"),
        (outer(), (), "'captured' of the function around it is not there on the node"),
        (waits, (), "write a plain function"),
        (uses_the_file, (), "'THRESHOLD', 'json' of the Dag file is not there on the node"),
        (
            takes,
            (datetime(2026, 1, 1, tzinfo=timezone.utc),),
            r"argument 1: datetime.datetime\(2026.* is neither JSON, a path",
        ),
        (takes, ([1, {"a": {1, 2}}],), r"argument 1\[1\]\['a'\]: {1, 2} \(set\)"),
        (takes, (float("inf"),), "argument 1: inf"),
        (takes, ({1: 2},), "argument 1: {1: 2}"),
        (takes, (), "missing a required argument"),
    ],
    ids=["lambda", "closure", "coroutine", "globals", "datetime", "deep", "infinity", "keys", "missing"],
)
def test_what_cannot_be_sent_is_refused_when_the_dag_is_parsed(
    function: Callable[..., Any], arguments: tuple[Any, ...], said: str
) -> None:
    """The error of the Dag file names the function or argument, and says what to write instead."""
    with DAG("parsed", schedule=None), pytest.raises((ValueError, TypeError), match=said):
        air_run_task(function, accelerator_type="GPU_1xA10")(*arguments)


def test_what_stands_alone_is_taken() -> None:
    """Imports, classes and functions inside the function are its own."""
    with DAG("parsed", schedule=None):
        air_run_task(stands_alone, accelerator_type="GPU_1xA10")(1, 2)
