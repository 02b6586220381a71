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
"""Writing: the style of the official client, and what every reader reads back."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.run.document.nodes import plain
from airflow.providers.databricks_air.run.document.reader import read_yaml
from airflow.providers.databricks_air.run.document.writer import dump_yaml
from tests.unit.run.mistakes import VALID
from tests.unit.run.run_documents import VALUES


def test_document_is_the_source_without_comments() -> None:
    """The effective document has the keys in source order, four spaces, and values before normalisation."""
    document = (
        "command: |\n  a\n  b\n# note\ncompute:\n  num_accelerators: 16 # two\n"
        "  accelerator_type: GPU_8xH100\nexperiment_name: demo\n"
    )
    text = load_run_config(document, overrides=["environment.version=Databricks_AI_v5"]).to_yaml()
    assert text == (
        "command: |\n    a\n    b\ncompute:\n    num_accelerators: 16\n    accelerator_type: GPU_8xH100\n"
        "experiment_name: demo\nenvironment:\n    version: Databricks_AI_v5\n"
    )


def test_other_readers_read_the_same() -> None:
    """A reader of YAML 1.1, as a training script uses it, reads every value as it was."""
    values = [
        "yes",
        "1e-3",
        "0o17",
        "1_000",
        "12:30",
        "null",
        "~",
        "",
        " a",
        "a: b",
        "# a",
        "é\u2028x",
        "\x85",
        "a\nb",
        "=",
        "<<",
    ]
    values += ["- a", "2024-01-01", "\ufeffx", "😀\nx", "'", '"', "x\\y", "017", "0b1", "a\tb", "..."]
    data = {
        "texts": values,
        "numbers": [1, -1, 0.1, 1e-5, 1e300, 1e22, float("inf")],
        "rest": [True, None, {}, [], {"a": {}}],
    }
    assert yaml.safe_load(dump_yaml(data)) == data
    assert list(yaml.safe_load(dump_yaml({"b": 1, "a": 2}, sort_keys=True))) == ["a", "b"]


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in type, too; not a number equals itself."""
    return repr(one) == repr(other)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_what_is_written_reads_back(value: Any) -> None:
    """PyYAML, and our own reader, read back what was written: every text, every number, every nesting."""
    text = dump_yaml(value)
    assert _same(yaml.safe_load(text), value)
    node, mistakes = read_yaml(text)
    assert mistakes == []
    assert _same(plain(node) if node else None, value)


@pytest.mark.parametrize(
    "text",
    [
        "a\u2028b",
        "\u2029",
        "a\nb\u2028c\n",
        "\x85",
        "\ufeff",
        "\x00",
        "\x1b[1m",
        "\U0001f600",
        "\U0010ffff",
        "\ufffe",
        "k" * 5000,
        "k " * 900,
        "a: b\n" * 400,
        "\n a",
        " \n",
        "a\n\n",
        "\ta",
        "a\t\nb",
        "...",
        "---",
        "? a",
        "%a",
    ],
)
def test_odd_text_reads_back_as_key_and_value(text: str) -> None:
    """A text that YAML makes difficult reads back, also as a key, in a list, and nested."""
    data = {"key": {text: [text, {text: text}]}, "after": "x"}
    written = dump_yaml(data)
    assert yaml.safe_load(written) == data
    node, _ = read_yaml(written)
    assert node is not None
    assert plain(node) == data


def test_number_keeps_the_text_of_its_author_where_that_reads_back() -> None:
    """A number is written as it was read, unless only its tag made it one."""
    config = load_run_config(VALID + "parameters: {a: 1_000, b: !!float 1, c: 0x1F, d: 1e-5}\n")
    assert load_run_config(config.to_yaml()).parameters == {"a": 1000, "b": 1.0, "c": 31, "d": 1e-5}
    assert type(load_run_config(config.to_yaml()).parameters["b"]) is float
    assert "a: 1_000\n    b: 1.0\n    c: 0x1F\n" in config.to_yaml()
