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
"""Reading: lines, duplicate keys, scalars, aliases, what is no document."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow.providers.databricks_air.run import load_run_config
from tests.unit.run.mistakes import VALID, errors_of


def test_duplicate_key_names_both_lines() -> None:
    """A key that stands twice is told with both lines, at any depth."""
    document = VALID + "parameters:\n  a: {b: 1,\n    b: 2}\n"
    error = errors_of(document)[0]
    assert (error.path, error.line) == ("parameters.a.b", 6)
    assert error.message == "the key appears twice, on lines 5 and 6"


@pytest.mark.parametrize(
    "text",
    ["1", "1.0", "1e-3", "yes", "on", "true", "0o17", "017", "1_000", "12:30:45", "0x1F", "2024-01-01", ".5"],
)
def test_variables_keep_the_text_of_the_file(text: str) -> None:
    """An unquoted scalar in env_variables is the text that stands in the file, also after a round trip."""
    config = load_run_config(f"{VALID}env_variables: {{A: {text}}}\n")
    assert config.env_variables == {"A": text}
    assert load_run_config(config.to_yaml()).env_variables == {"A": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("+1", 1),
        ("0o17", 15),
        ("017", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("yes", "yes"),
        ("off", "off"),
        ("TRUE", True),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("1.2.3", "1.2.3"),
        ("0o", "0o"),
        ("-", None),
    ],
)
def test_parameters_have_the_types_of_the_platform(text: str, value: object) -> None:
    """Plain scalars in parameters have the types that Go's YAML decoder gives them."""
    if text == "-":
        assert load_run_config(f"{VALID}parameters:\n  a:\n    -\n").parameters == {"a": [None]}
        return
    loaded = load_run_config(f"{VALID}parameters:\n  a: {text}\n").parameters["a"]
    assert loaded == value
    assert type(loaded) is type(value)


def test_anchors_and_merges_work() -> None:
    """Aliases repeat a value, and << fills in what the mapping itself does not say."""
    document = (
        VALID + "parameters:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n  c: [*a]\n  d: {<<: [{z: 1}, *a]}\n"
    )
    assert load_run_config(document).parameters == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
        "c": [{"x": 1, "y": 2}],
        "d": {"z": 1, "x": 1, "y": 2},
    }


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the document is empty"),
        ("# nothing\n", "the document is empty"),
        ("--- \n...\n", "the document is empty"),
        ("- a\n", "the document must be a mapping of fields"),
        ("train.yaml", "the document must be a mapping of fields"),
        (
            "a: 1\n---\nb: 2\n",
            "not valid YAML: expected a single document in the stream, but found another document (column 1)",
        ),
        ("a: *b\n", "not valid YAML: found undefined alias (column 4)"),
        ("a: &a [*a]\n", "an alias repeats what holds it"),
        (
            "a: !!python/object/apply:os.system [x]\n",
            "the tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        ),
        ("a: !!int x\n", "'x' cannot be read with the tag tag:yaml.org,2002:int"),
        ("? [a]\n: 1\n", "a key must be text, not a list or a mapping"),
        ("<<: 1\n", "<< takes a mapping or a list of mappings"),
        (b"a: \xff\n", "not valid UTF-8"),
        ("a: \ud800\n", "the text holds half of a surrogate pair, which is not valid Unicode"),
    ],
)
def test_what_is_no_document_is_told(document: str | bytes, message: str) -> None:
    """What is not exactly one mapping of plain data is told in one clear error."""
    assert [error.message for error in errors_of(document)] == [message]


def test_syntax_error_has_its_line() -> None:
    """A document that is not YAML is told with line and column."""
    (error,) = errors_of("a: 1\nb: [1, 2\nc: 3\n")
    assert error.line == 3
    assert error.message.startswith("not valid YAML: ")


def test_tab_has_a_hint() -> None:
    """A tab in the indentation is told with its remedy."""
    (error,) = errors_of("a:\n\tb: 1\n")
    assert error.line == 2
    assert error.hint == "Indent with spaces; YAML does not allow tabs there"


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """A file with a byte order mark loads."""
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_run_config(tmp_path / "a.yaml").experiment_name == "demo"


def test_chain_of_aliases_is_as_deep_as_what_it_repeats() -> None:
    """Aliases that nest each other count with the levels below them."""
    document = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 180))
    (error,) = errors_of(document)
    assert error.line == 63
    assert "nested more than 64 levels" in error.message
