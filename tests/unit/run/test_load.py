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
"""Loading: lines, duplicate keys, scalars, bases, overrides, older forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow.providers.databricks_air.run import ConfigError, FieldError, RunConfig, load_run_config
from airflow.providers.databricks_air.run.document.writer import dump_yaml

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted([*ROOT.glob("docs/examples/*.yaml"), *ROOT.glob("tests/wire/forms/*.yaml")])
VALID = """\
experiment_name: demo
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
command: python train.py
"""
COUNT = "compute.num_accelerators"
EXAMPLE = "compute.num_accelerators=16"
COMPUTE = "Known in compute: accelerator_type, num_accelerators, pool_id, priority_class"
EIGHT_MISTAKES = """\
experiment_name: no spaces
compute:
  accelerator_type: GPU_8xH100
  num_accelerators: 12
comand: python train.py
environment:
  unity_catalog_image: main.air.training:prod
  version: 5
env_variables:
  TOKEN: abc
secrets:
  TOKEN: scope/key
max_retries: 3
max_retries: 2
code_source:
  root_path: .
  include_paths: [src, ../other]
permissions:
  - user_name: a@example.com
    level: CAN_VEW
"""


def errors_of(source: Any, **options: Any) -> list[FieldError]:
    """Return the mistakes that the loader finds in *source*."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(source, **options)
    return list(caught.value.errors)


def write(directory: Path, **files: str) -> None:
    """Write YAML files by name."""
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_eight_mistakes_give_eight_errors(tmp_path: Path) -> None:
    """One document with eight different mistakes gives eight errors, each with its line."""
    write(tmp_path, train=EIGHT_MISTAKES)
    file = tmp_path / "train.yaml"

    errors = errors_of(file)

    assert [(error.line, error.path) for error in errors] == [
        (1, "experiment_name"),
        (4, "compute.num_accelerators"),
        (5, "comand"),
        (7, "environment.unity_catalog_image"),
        (12, "secrets.TOKEN"),
        (14, "max_retries"),
        (17, "code_source.include_paths[1]"),
        (20, "permissions[0].level"),
    ]
    assert {error.file for error in errors} == {str(file)}


def test_errors_are_rendered_as_a_block() -> None:
    """The text of the error counts the mistakes and has a line for each."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(EIGHT_MISTAKES)
    first, *lines = str(caught.value).splitlines()
    assert first == "The run configuration has 8 errors:"
    assert (
        lines[1] == "  - line 4: compute.num_accelerators: 12 is not a multiple of 8 (GPU_8xH100). Write 16"
    )
    assert len(lines) == 8


def test_duplicate_key_names_both_lines() -> None:
    """A key that stands twice is told with both lines, at any depth."""
    document = VALID + "parameters:\n  a: {b: 1,\n    b: 2}\n"
    error = errors_of(document)[0]
    assert (error.path, error.line) == ("parameters.a.b", 6)
    assert error.message == "the key appears twice, on lines 5 and 6"


def test_misspelt_required_key_is_one_mistake() -> None:
    """A misspelt required key is told once, not also as a missing one."""
    errors = errors_of(VALID.replace("experiment_name", "experimentname"))
    assert [str(error) for error in errors] == [
        "line 1: experimentname: unknown field. Did you mean experiment_name?"
    ]


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


@pytest.mark.parametrize(
    ("name", "message"), [("none.yaml", "the file does not exist"), ("", "the file is a directory")]
)
def test_unreadable_file_is_told(tmp_path: Path, name: str, message: str) -> None:
    """A file that cannot be read is told with its path."""
    (error,) = errors_of(tmp_path / name)
    assert (error.message, error.file) == (message, str(tmp_path / name))


@pytest.mark.parametrize(
    "source", [None, 42, 10**5000, ["a"], object()], ids=["nothing", "number", "huge", "list", "object"]
)
def test_source_of_another_type_is_told(source: object) -> None:
    """A source that is neither file, text, mapping nor configuration is told with what to pass."""
    (error,) = errors_of(source)
    assert error.hint == "Pass a pathlib.Path, YAML text, a mapping or a RunConfig"


# Bases


def test_bases_are_merged_from_left_to_right(tmp_path: Path) -> None:
    """Bases merge mapping by mapping, later ones win, the file wins over all, and the key is gone."""
    write(
        tmp_path,
        one=VALID + "parameters: {a: 1, b: {x: 1, y: 1}}\nmax_retries: 1\n",
        two="parameters: {b: {y: 2}, c: [1]}\nmax_retries: 2\n",
        top="_bases_: [one.yaml, two.yaml]\nparameters: {c: [2]}\n",
    )
    config = load_run_config(tmp_path / "top.yaml")
    assert config.parameters == {"a": 1, "b": {"x": 1, "y": 2}, "c": [2]}
    assert config.max_retries == 2
    assert "_bases_" not in config.to_yaml()


def test_bases_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    """A base may have bases, relative to itself; a mapping's bases start at base_dir."""
    (tmp_path / "deep").mkdir()
    write(tmp_path, top="_bases_: [deep/mid.yaml]\n", root=VALID)
    write(tmp_path / "deep", mid="_bases_: [../root.yaml]\nmax_retries: 1\n")
    assert load_run_config(tmp_path / "top.yaml").max_retries == 1
    assert load_run_config({"_bases_": ["top.yaml"]}, base_dir=tmp_path).max_retries == 1


def test_error_in_a_base_names_its_file(tmp_path: Path) -> None:
    """A mistake in a base is told with the file and the line of the base."""
    write(tmp_path, base=VALID + "max_retries: -1\n", top="_bases_: [base.yaml]\ntimeout_minutes: 0\n")
    errors = errors_of(tmp_path / "top.yaml")
    assert [(error.file, error.line) for error in errors] == [
        (str(tmp_path / "top.yaml"), 2),
        (str(tmp_path / "base.yaml"), 4),
    ]


def test_circle_of_bases_is_told_with_the_chain(tmp_path: Path) -> None:
    """Files that name each other in a circle are told with the whole chain."""
    write(tmp_path, a="_bases_: [b.yaml]\n" + VALID, b="_bases_: [a.yaml]\n")
    (error,) = errors_of(tmp_path / "a.yaml")
    chain = " → ".join(str(tmp_path / name) for name in ("a.yaml", "b.yaml", "a.yaml"))
    assert error.message == f"the files name each other in a circle: {chain}"
    assert (error.file, error.line) == (str(tmp_path / "b.yaml"), 1)


@pytest.mark.parametrize("bases", ["base.yaml", "[1]", "{a: b}"])
def test_bases_must_be_a_list_of_files(bases: str) -> None:
    """Anything but a list of file names under _bases_ is told."""
    errors = errors_of(f"_bases_: {bases}\n{VALID}")
    assert [str(error) for error in errors] == [
        "line 1: _bases_: must be a list of YAML files. Write _bases_: [base.yaml]"
    ]


def test_missing_base_is_told_where_it_is_named(tmp_path: Path) -> None:
    """A base that does not exist is told with the line that names it, beside the other mistakes."""
    write(tmp_path, top=VALID + "max_retries: -1\n_bases_:\n  - gone.yaml\n")
    errors = errors_of(tmp_path / "top.yaml")
    assert [(error.line, error.message) for error in errors] == [
        (4, "-1 is less than 0"),
        (6, f"the file {tmp_path / 'gone.yaml'} does not exist"),
    ]


def test_diamond_of_bases_is_read_once_each(tmp_path: Path) -> None:
    """Bases that share bases thirty levels deep load at once."""
    write(tmp_path, f0=VALID)
    for level in range(1, 30):
        write(tmp_path, **{f"f{level}": f"_bases_: [f{level - 1}.yaml, f{level - 1}.yaml]\n"})
    assert load_run_config(tmp_path / "f29.yaml").experiment_name == "demo"


# Overrides


@pytest.mark.parametrize(
    ("overrides", "field", "value"),
    [
        (["compute.num_accelerators=8"], "compute.num_accelerators", 8),
        ({"compute.num_accelerators": 8}, "compute.num_accelerators", 8),
        (["parameters.a.b=[1, {c: 2}]"], "parameters", {"a": {"b": [1, {"c": 2}]}}),
        (["parameters.lr=1e-3"], "parameters", {"lr": 0.001}),
        ({"parameters.lr": "1e-3"}, "parameters", {"lr": "1e-3"}),
        (["env_variables.LR=1e-3"], "env_variables", {"LR": "1e-3"}),
        (["env_variables.A=b=c"], "env_variables", {"A": "b=c"}),
        (["max_retries=1", "max_retries=2"], "max_retries", 2),
        (["timeout_minutes="], "timeout_minutes", None),
        (["permissions[0].user_name=a", "permissions.0.level=CAN_VIEW"], "permissions.0.level", "CAN_VIEW"),
        (["environment.dependencies[0]=numpy"], "environment.dependencies", ("numpy",)),
        ([" experiment_name =other"], "experiment_name", "other"),
        (["code_source.type=snapshot", "code_source.snapshot.root_path=."], "code_source.root_path", "."),
        ({}, "experiment_name", "demo"),
        (None, "experiment_name", "demo"),
    ],
)
def test_override_replaces_a_value(overrides: Any, field: str, value: object) -> None:
    """An override puts a typed value at its path, also where nothing stood, and shows in the document."""
    config = load_run_config(VALID, overrides=overrides)
    again = load_run_config(config.to_yaml())
    for found in (config, again):
        here: Any = found
        for name in field.split("."):
            here = here[int(name)] if name.isdecimal() else getattr(here, name)
        assert here == value


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["compute.gpus=8"], "compute.gpus: is not a field any more. Write num_accelerators"),
        (
            ["compute.num_acelerators=8"],
            "compute.num_acelerators: compute has no field 'num_acelerators'. Did you mean num_accelerators? "
            + COMPUTE,
        ),
        (
            ["max_retries.x=1"],
            "max_retries.x: max_retries holds one value, nothing is below it. Address max_retries itself",
        ),
        (
            ["permissions.level=x"],
            "permissions.level: permissions is a list, 'level' is not a position. "
            "Write permissions[0] for the first item",
        ),
        (
            ["permissions[1].level=x"],
            "permissions[1].level: the list has 0 items. Positions count from 0; 0 appends one",
        ),
        (["max_retries"], "'max_retries' is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        (
            ["other.yaml"],
            "'other.yaml' is not an override. Write KEY=VALUE, such as "
            + EXAMPLE
            + "; the file itself is not an override",
        ),
        (["=1"], "'=1' is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        ([7], "7 is not an override. Write KEY=VALUE, such as " + EXAMPLE),
        (["a..b=1"], "a..b: is not a path. Write names with dots, such as " + COUNT),
        (
            "max_retries=1",
            "overrides must be a mapping or a list, not 'max_retries=1'. "
            'Write {"compute.num_accelerators": 16} or ["compute.num_accelerators=16"]',
        ),
        (["max_retries=-1"], "max_retries: -1 is less than 0. Write a number of at least 0"),
        (
            {"compute.num_accelerators": 3},
            "compute.num_accelerators: 3 is not a multiple of 8 (GPU_8xH100). Write 8",
        ),
        (
            {"parameters.a": object()},
            "parameters.a: a value of type object cannot be written in YAML. "
            "Use text, a number, true or false, a list or a mapping",
        ),
    ],
)
def test_wrong_override_is_told(overrides: Any, told: str) -> None:
    """An override that cannot be applied, or that breaks a rule, is told as an override."""
    assert [str(error) for error in errors_of(VALID, overrides=overrides)] == [f"override: {told}"]


def test_overridden_alias_leaves_its_source_alone() -> None:
    """An override below an alias does not change what the alias repeats."""
    document = VALID + "parameters: {a: &a {x: 1}, b: *a}\n"
    assert load_run_config(document, overrides=["parameters.b.x=2"]).parameters == {
        "a": {"x": 1},
        "b": {"x": 2},
    }


# Older forms


def test_older_forms_load_with_a_line_of_advice(tmp_path: Path) -> None:
    """Older forms give today's configuration, and each says what to write instead."""
    write(tmp_path, requirements="version: 5\ndependencies: [torch==2.3.0]\n")
    document = (
        "experiment_name: demo\ncommand: x\n"
        "compute: {accelerator_type: GPU_8xH100, num_accelerators: 8, "
        "provisioned_capacity_id: p, priority_class: normal}\n"
        "environment: {dependencies: requirements.yaml}\n"
        "code_source: {type: snapshot, snapshot: {root_path: ., git: {branch: main, remote: false}}}\n"
    )
    config = load_run_config(document, base_dir=tmp_path)

    assert (config.compute.pool_id, config.compute.priority_class) == ("p", "NORMAL")
    assert (config.environment.version, config.environment.dependencies) == ("5", ("torch==2.3.0",))
    assert config.code_source is not None
    assert config.code_source.git is not None
    assert config.code_source.git.branch == "main"
    assert {old.path: old.hint for old in config.deprecations} == {
        "compute.provisioned_capacity_id": "Write compute.pool_id",
        "code_source.type": "Remove it; every code source is a snapshot",
        "code_source.snapshot": "Write its fields directly under code_source",
        "code_source.snapshot.git.remote": "Remove it; the local repository is packed",
        "environment.dependencies": "Write the lines of the file as a list",
    }
    # The document keeps the form of its author, but no longer needs the other file.
    assert "snapshot:" in config.to_yaml()
    assert load_run_config(config.to_yaml()) == config


def test_mistake_in_an_older_form_keeps_its_place() -> None:
    """A mistake inside a wrapped code source is told with the path and the line of the source."""
    document = (
        VALID + "code_source:\n  type: snapshot\n  snapshot:\n    root_path: .\n    remote_volume: /x\n"
    )
    errors = errors_of(document)
    assert [(error.line, error.path) for error in errors] == [(8, "code_source.snapshot.remote_volume")]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (
            "dependencies: [numpy, -r other.txt]\n",
            1,
            "'-r other.txt' names a second file, which the run would not find",
        ),
        ("python: 3\n", None, "unknown field python"),
        ("- numpy\n", None, "must be a mapping with version and dependencies"),
    ],
)
def test_wrong_requirements_file_is_told(
    tmp_path: Path, content: str, line: int | None, message: str
) -> None:
    """A mistake in a requirements file is told with that file."""
    write(tmp_path, req=content)
    (error,) = errors_of(VALID + "environment: {dependencies: req.yaml}\n", base_dir=tmp_path)
    assert (error.file, error.line, error.message) == (str(tmp_path / "req.yaml"), line, message)


# Documents


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


def test_configuration_built_in_python_loads_again() -> None:
    """A configuration that is built by name gives a document that loads to an equal one."""
    config = RunConfig(
        experiment_name="demo",
        compute={"accelerator_type": "GPU_1xA10", "num_accelerators": 1},  # type: ignore[arg-type]
        command="a\nb\n",
        parameters={"a": None, "b": [1, float("inf")], 3: "x"},  # type: ignore[dict-item]
        env_variables={"A": "yes"},
    )
    assert load_run_config(config) == config == load_run_config(config.to_yaml())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_example_is_valid(file: Path) -> None:
    """Every example of a run configuration loads, and so does its effective document."""
    if file.stem == "base":
        pytest.skip("a base, not a whole run configuration")
    config = load_run_config(file, check_code=True)
    assert load_run_config(config.to_yaml(), base_dir=file.parent) == config


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
