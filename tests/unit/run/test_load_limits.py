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
"""Documents that are made to cost much are refused quickly and cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow.providers.databricks_air.run import ConfigError, load_run_config
from tests.unit.run.test_load_properties import bounded

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 2**20
VALID: dict[str, Any] = {
    "experiment_name": "demo",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "command": "x",
}


def laughs() -> str:
    """Return ten to the power of nine values in a few lines."""
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines)


def long_laughs() -> str:
    """Return a long text that is repeated by a thousand aliases."""
    return f"a: &a {'x' * 500_000}\nb: [{', '.join(['*a'] * 1000)}]"


def merged_laughs() -> str:
    """Return mappings that merge each other many times."""
    lines = ["a: &a0 {" + ", ".join(f"k{i}: x" for i in range(1000)) + "}"]
    lines += [f"b{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 20)}]}}" for i in range(1, 9)]
    return "\n".join(lines)


def nested_list() -> list[Any]:
    """Return a list a hundred thousand levels deep."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def endless() -> dict[str, Any]:
    """Return a mapping that holds itself."""
    value: dict[str, Any] = dict(VALID)
    value["parameters"] = value
    return value


TOO_MUCH: dict[str, tuple[Callable[[], Any], str]] = {
    "a billion laughs": (laughs, "more than 20000 values"),
    "long laughs": (long_laughs, "larger than 1048576 bytes"),
    "merged laughs": (merged_laughs, "more than 20000 values"),
    "deep flow lists": (lambda: "a: " + "[" * 500_000, "nested more than 64 levels"),
    "deep flow mappings": (lambda: "{a: " * 200_000, "nested more than 64 levels"),
    "deep block lists": (lambda: "- " * 500_000, "nested more than 64 levels"),
    "many values": (lambda: "a:\n" + "- x\n" * 250_000, "more than 20000 values"),
    "many keys": (lambda: "".join(f"k{i}: 1\n" for i in range(80_000)), "more than 20000 values"),
    "over the cap": (lambda: "a: " + "x" * MEBIBYTE, "the limit is 1048576"),
    "deep Python": (nested_list, "a configuration cannot be read from"),
    "deep Python inside": (
        lambda: {**VALID, "parameters": {"a": nested_list()}},
        "nested more than 64 levels",
    ),
    "endless Python": (endless, "nested more than 64 levels"),
    "wide Python": (lambda: {**VALID, "parameters": {"a": [0] * 10**6}}, "more than 20000 values"),
    "long Python": (lambda: {**VALID, "command": "x" * 10 * MEBIBYTE}, "larger than 1048576 bytes"),
    "huge number": (lambda: {**VALID, "max_retries": 10**5000}, "the number is too large"),
    "escapes that grow": (
        lambda: {**VALID, "command": "x\x01" * 400_000},
        "the effective document has",
    ),
}
COSTLY: dict[str, Callable[[], Any]] = {
    "many unknown keys": lambda: "".join(f"experiment_nam{i}: 1\n" for i in range(9_000)),
    "one long key": lambda: f"{'x' * 1_000_000}: 1",
    "many duplicate keys": lambda: "a: 1\n" * 9_000,
    "many wrong values": lambda: {**VALID, "permissions": [{"level": "x"}] * 6_000},
    "many variables": lambda: {**VALID, "env_variables": {f"V{i}": [i] for i in range(6_000)}},
    "many quotes": lambda: "a: " + "'" * 1_000_000,
    "many colons": lambda: ":" * 1_000_000,
    "many question marks": lambda: "? " * 500_000,
    "many anchors": lambda: "a: [" + " ".join(f"&a{i}" for i in range(100_000)),
    "many tags": lambda: "a: [" + "!a " * 300_000,
    "many documents": lambda: "---\n" * 250_000,
    "long comment": lambda: "#" * 1_000_000,
    "many blank lines": lambda: "\n" * 1_000_000,
    "many ranks": lambda: {
        **VALID,
        "command": None,
        "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 2**31 - 1},
        "containers": [
            {"name": "a", "command": "x", "ranks": list(range(9_000)), "unity_catalog_image": "a.b.c:d"}
        ],
    },
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_is_refused(name: str) -> None:
    """A document that holds too much is refused with the limit it breaks, in bounded time and memory."""
    make, message = TOO_MUCH[name]
    source = make()
    with bounded(), pytest.raises(ConfigError, match=message):
        load_run_config(source)


@pytest.mark.parametrize("name", COSTLY)
def test_many_mistakes_cost_little(name: str) -> None:
    """A document with very many mistakes is answered in bounded time and memory."""
    source = COSTLY[name]()
    with bounded(), pytest.raises(ConfigError) as caught:
        load_run_config(source)
    assert str(caught.value)


def test_large_document_loads() -> None:
    """A document just below the cap loads, and its effective document is below the cap too."""
    document = {**VALID, "command": "x" * (MEBIBYTE - 2000)}
    with bounded():
        config = load_run_config(document)
        assert len(config.to_yaml().encode()) <= MEBIBYTE
