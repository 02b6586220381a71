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
"""``explain``, ``schema``, ``convert``, and the commands inside Airflow's own command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow.providers.databricks_air.cli.parser import COMMANDS, main
from airflow.providers.databricks_air.run.config.schema.fields import all_fields
from scripts.config_reference import main as check_reference
from scripts.messages import main as check_messages
from scripts.messages import messages

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted([*ROOT.glob("docs/examples/*.yaml"), *ROOT.glob("tests/wire/forms/*.yaml")])


@pytest.fixture(scope="module")
def schema() -> Any:
    """Return a validator of the JSON Schema that the command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["schema"])
    printed = json.loads(out.getvalue())
    jsonschema.Draft202012Validator.check_schema(printed)
    return jsonschema.Draft202012Validator(printed)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_schema_accepts_every_example(schema: Any, file: Path) -> None:
    """The JSON Schema accepts what the loader accepts."""
    if file.stem == "base":
        pytest.skip("a base, not a whole run configuration")
    assert [error.message for error in schema.iter_errors(yaml.safe_load(file.read_text("utf-8")))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"compute": {"accelerator_type": "a10", "num_accelerators": 1}},
        {"comand": "x"},
        {"max_retries": -1},
        {"experiment_name": "a b"},
        {"code_source": {"include_paths": ["a"]}},
    ],
)
def test_schema_refuses_mistakes(schema: Any, wrong: dict[str, Any]) -> None:
    """The JSON Schema refuses what it can see: unknown keys, wrong values, missing fields."""
    valid = {
        "experiment_name": "a",
        "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
        "command": "x",
    }
    assert schema.is_valid(valid)
    assert not schema.is_valid({**valid, **wrong})


def test_explain_tells_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    """A field is told with its kind and its documentation."""
    assert main(["explain", "compute.accelerator_type"]) == 0
    head, *text = capsys.readouterr().out.splitlines()
    assert head == "compute.accelerator_type (text, required)"
    assert "GPU_8xB300" in " ".join(text)


@pytest.mark.parametrize("field", [field.path.replace("[]", "") for field in all_fields()])
def test_explain_knows_every_field(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field of the configuration can be asked for by its path."""
    assert main(["explain", field]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_explain_without_a_field_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a field, all fields of the top level are listed."""
    assert main(["explain"]) == 0
    assert "  timeout_minutes  " in capsys.readouterr().out


def test_explain_suggests_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    """A field that does not exist exits with 2 and a suggestion."""
    assert main(["explain", "compute.accelerator"]) == 2
    assert "Did you mean accelerator_type?" in capsys.readouterr().err


def test_explain_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    """``-o json`` has the same of a field and of those below it; a field that does not exist is an error as data."""
    assert main(["explain", "compute", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["path"] == "compute"
    assert {"accelerator_type", "num_accelerators"} <= {
        item["path"].rpartition(".")[2] for item in data["fields"]
    }
    assert main(["explain", "compute.gpu_count", "-o", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "INVALID_ARGS"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("_bases_", "YAML files to start from"),
        ("compute.provisioned_capacity_id", "An older form. Write compute.pool_id."),
        ("code_source.snapshot", "Write its fields directly under code_source."),
        ("code_source.snapshot.git.remote", "An older form. Remove it"),
    ],
)
def test_explain_knows_what_is_no_field_of_its_own(
    field: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key that names bases, and older forms, are told too."""
    assert main(["explain", field]) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "hint"), [("priority", "compute.priority_class"), ("compute.gpus", "num_accelerators")]
)
def test_explain_says_what_replaced_a_field(
    field: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A field that is gone exits with 2 and names what to write instead."""
    assert main(["explain", field]) == 2
    told = capsys.readouterr().err
    assert f"{field}: is not a field any more" in told
    assert hint in told


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("accelerator_type", "compute.accelerator_type (text, required)"),
        ("root_path", "code_source.root_path (text, required)"),
        ("ranks", "containers[].ranks (list, required)"),
    ],
)
def test_explain_finds_a_field_by_its_name_alone(
    asked: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that only one field has is enough."""
    assert main(["explain", asked]) == 0
    assert capsys.readouterr().out.splitlines()[0] == found


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("compute.acelerator", "Did you mean accelerator_type?"),
        ("acelerator_type", "Did you mean compute.accelerator_type?"),
        (
            "unity_catalog_image",
            "Did you mean environment.unity_catalog_image or containers.unity_catalog_image?",
        ),
        ("comand", "Did you mean command?"),
    ],
)
def test_explain_suggests_what_was_meant(asked: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name, or one that several fields have, is answered with the fields that may be meant."""
    assert main(["explain", asked]) == 2
    assert hint in capsys.readouterr().err


def test_convert_names_the_file_of_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A note about a value of a base names the base and its line."""
    (tmp_path / "base.yaml").write_text("experiment_name: a\ncommand: x\nworkspace: w\n", "utf-8")
    (tmp_path / "run.yaml").write_text("_bases_: [base.yaml]\ncompute: {gpus: 8, gpu_type: h100}\n", "utf-8")
    assert main(["convert", str(tmp_path / "run.yaml")]) == 0
    err = capsys.readouterr().err
    assert f"{tmp_path / 'base.yaml'}:3: workspace: is not carried over" in err
    assert f"{tmp_path / 'run.yaml'}:2: compute.gpu_type: to check. h100 is GPU_8xH100 now" in err


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        ("command: |\n  #!/bin/bash\n  # run\n  x\n", False),
        ("command: 'a # b'\n", False),
        ("command: a#b\n", False),
        ("command: x  # why\n", True),
        ("# why\ncommand: x\n", True),
        ("command: |  # why\n  x\n", True),
    ],
)
def test_convert_tells_lost_comments_only(
    text: str, comments: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of a script that begins with # is no comment of the file."""
    rest = "experiment_name: a\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    (tmp_path / "a.yaml").write_text(text + rest, "utf-8")
    assert main(["convert", str(tmp_path / "a.yaml")]) == 0
    assert ("comments are not carried over" in capsys.readouterr().err) is comments


def test_convert_prints_the_result_and_what_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The result goes to standard output, what has no counterpart to standard error."""
    assert main(["convert", str(ROOT / "tests/examples/mosaic/metadata.yaml")]) == 0
    captured = capsys.readouterr()
    assert yaml.safe_load(captured.out)["experiment_name"] == "hello-world"
    assert (
        "metadata.yaml:5: metadata: is not carried over. Log it as MLflow tags in the command" in captured.err
    )


def test_convert_of_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read exits with 1 and one clear error."""
    assert main(["convert", str(tmp_path / "gone.yaml")]) == 1
    assert "the file does not exist" in capsys.readouterr().err


def test_result_that_is_not_valid_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the source itself breaks a rule, the result is printed, its mistakes are told, and the exit code is 1."""
    (tmp_path / "a.yaml").write_text(
        "experiment_name: a b\ncommand: x\ncompute: {gpus: 8, gpu_type: h100}\n", "utf-8"
    )
    assert main(["convert", str(tmp_path / "a.yaml")]) == 1
    captured = capsys.readouterr()
    assert "num_accelerators: 8" in captured.out
    assert "experiment_name: 'a b' may only hold" in captured.err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
@pytest.mark.parametrize("command", [("validate",), ("validate", "--output", "json"), ("convert",)])
def test_any_name_on_any_terminal(tmp_path: Path, encoding: str, command: tuple[str, ...]) -> None:
    """A file name that is no text, and a terminal that cannot show an ellipsis, leave no traceback."""
    name = os.fsencode(tmp_path) + b"/a\xff\nb: 1.yaml"
    with open(name, "w", encoding="utf-8") as file:
        file.write(
            "experiment_name: a\ncommand: |\n  echo …\n"
            "compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\nparameters: {é: 1}\n"
        )
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_databricks_air", *command, name],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert b"Traceback" not in done.stderr
    if command == ("convert",):
        assert done.returncode == 0
        assert "echo …".encode() in done.stdout
        assert set(yaml.safe_load(done.stdout)) == {"experiment_name", "command", "compute", "parameters"}


def test_closed_output_is_no_error(tmp_path: Path) -> None:
    """A command whose standard output is closed still has its exit code."""
    (tmp_path / "a.yaml").write_text("a: 1")
    script = f"{sys.executable} -m airflow_provider_databricks_air validate {tmp_path}/a.yaml >&-"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_closed_pipe_is_no_error() -> None:
    """A reader that stops reading leaves no traceback behind."""
    script = f"{sys.executable} -m airflow.providers.databricks_air schema | head -c 10"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_airflow_offers_the_same_commands() -> None:
    """Airflow's own parser can be given the same commands with the same arguments."""
    import argparse

    from airflow.providers.databricks_air.cli.definition import get_cli_commands

    (group,) = get_cli_commands()
    assert group.name == "databricks-air"
    assert [command.name for command in group.subcommands] == list(COMMANDS)
    validate = next(command for command in group.subcommands if command.name == "validate")
    parser = argparse.ArgumentParser()
    for argument in validate.args:
        argument.add_to_parser(parser)
    args = parser.parse_args(["a.yaml", "--override", "a=1", "--output", "json"])
    assert (args.files, args.override, args.output) == (["a.yaml"], ["a=1"], "json")


def test_reference_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """The reference page in the documentation is made from the models as they are."""
    assert check_reference(["--check"]) == 0, capsys.readouterr().out


def test_every_message_is_on_the_troubleshooting_page(capsys: pytest.CaptureFixture[str]) -> None:
    """What an error of the sources can say, and every advice on a failed run, stands on the page."""
    assert len(messages()) > 100
    assert check_messages(["--check"]) == 0, capsys.readouterr().out
