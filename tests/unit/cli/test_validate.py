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
"""``validate``: what it prints, what it exits with, what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow.providers.databricks_air.cli.parser import main

VALID = """\
experiment_name: demo
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
command: python train.py
"""
MODULE = "airflow.providers.databricks_air"
ALONE = "airflow_provider_databricks_air"
# A file of usual size: comments, packages, variables, parameters, code.
USUAL = (Path(__file__).resolve().parents[3] / "docs/examples/train.yaml").read_text(encoding="utf-8")


def write(directory: Path, name: str, text: str) -> str:
    """Write a file and return its path."""
    (directory / name).write_text(text, encoding="utf-8")
    return str(directory / name)


def in_a_process(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as users do."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_valid_files_exit_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several valid files get a line each, and the exit code is 0."""
    one, two = write(tmp_path, "one.yaml", VALID), write(tmp_path, "two.yaml", VALID)
    assert main(["validate", one, two]) == 0
    assert (
        capsys.readouterr().out == f"{one}: ok (2 nodes of GPU_8xH100)\n{two}: ok (2 nodes of GPU_8xH100)\n"
    )


def test_file_with_errors_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake of every file is printed with its line, and the exit code is 1."""
    good, bad = (
        write(tmp_path, "good.yaml", VALID),
        write(tmp_path, "bad.yaml", VALID + "max_retries: -1\ncmd: x\n"),
    )
    assert main(["validate", good, bad, str(tmp_path / "gone.yaml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        f"{bad}: 2 errors",
        f"  {bad}:4: max_retries: -1 is less than 0. Write a number of at least 0",
        f"  {bad}:5: cmd: unknown field. Did you mean command?",
    ]
    assert lines[-1] == f"  {tmp_path / 'gone.yaml'}: the file does not exist. Check the path"


def test_missing_code_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A code directory that does not exist is told beside the other mistakes, relative to the file."""
    file = write(tmp_path, "a.yaml", VALID + "code_source:\n  root_path: src\nmax_retries: -1\n")
    assert main(["validate", file]) == 1
    assert (
        f"{file}:5: code_source.root_path: 'src' means {tmp_path}/src, which does not exist"
        in capsys.readouterr().out
    )

    (tmp_path / "src").mkdir()
    assert main(["validate", file, "--override", "max_retries=0"]) == 0


def test_json_holds_every_error_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON output has file, path, message, hint and line of every mistake, and the older forms."""
    bad = write(tmp_path, "bad.yaml", VALID + "max_retries: -1\n")
    (tmp_path / "src").mkdir()
    old = write(tmp_path, "old.yaml", VALID + "code_source: {type: snapshot, root_path: src}\n")
    assert main(["validate", "--output", "json", bad, old]) == 1
    data = json.loads(capsys.readouterr().out)["data"]
    first, second = data["files"]
    assert not data["valid"]
    assert first == {
        "file": bad,
        "valid": False,
        "errors": [
            {
                "path": "max_retries",
                "message": "-1 is less than 0",
                "hint": "Write a number of at least 0",
                "file": bad,
                "line": 4,
            }
        ],
        "deprecations": [],
    }
    assert second["valid"]
    assert [item["path"] for item in second["deprecations"]] == ["code_source.type"]


def test_older_form_is_told_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older form is no error; standard error says what to write instead."""
    (tmp_path / "src").mkdir()
    old = write(tmp_path, "old.yaml", VALID + "code_source: {type: snapshot, root_path: src}\n")
    assert main(["validate", old]) == 0
    assert "code_source.type: is an older form. Remove it" in capsys.readouterr().err


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    """A dash reads the configuration from standard input."""
    done = in_a_process("-m", MODULE, "validate", "-", text=VALID)
    assert (done.returncode, done.stdout) == (0, "-: ok (2 nodes of GPU_8xH100)\n")


@pytest.mark.parametrize("arguments", [["validate"], ["validate", "--output", "xml", "a"], ["vlidate"], []])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """A wrong call exits with 2, whatever the files hold."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_needs_neither_database_nor_heavy_modules(tmp_path: Path) -> None:
    """It works without an Airflow database, and loads nothing that talks to a network."""
    file = write(tmp_path, "a.yaml", VALID)
    script = (
        "import sys, airflow; before = set(sys.modules)\n"
        f"from {MODULE}.cli.parser import main; code = main(['validate', {file!r}])\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "ours = sorted(name for name in set(sys.modules) - before if name.startswith('airflow.'))\n"
        f"wrong = [name for name in ours if not name.startswith(('{MODULE}.run', '{MODULE}.cli', '{MODULE}.local'))]\n"
        "print(code, sorted(new & {'databricks', 'aiohttp', 'requests', 'sqlalchemy'}), [n for n in wrong if n != "
        f"'{MODULE}' and n != 'airflow.providers'])\n"
    )
    done = in_a_process("-c", script, AIRFLOW_HOME=str(tmp_path / "home"))
    assert done.stdout.splitlines()[-1] == "0 [] []", done.stderr
    assert not (tmp_path / "home/airflow.db").exists()


def test_started_alone_loads_nothing_of_airflow(tmp_path: Path) -> None:
    """Started without Airflow, a check loads no module of Airflow, nor one that talks to anything."""
    file = write(tmp_path, "a.yaml", VALID)
    done = in_a_process("-X", "importtime", "-m", ALONE, "validate", file)
    assert (done.returncode, done.stdout) == (0, f"{file}: ok (2 nodes of GPU_8xH100)\n")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"{MODULE}.run.config" in loaded
    outside = {name for name in loaded if name.startswith("airflow") and not name.startswith((MODULE, ALONE))}
    assert outside == set()
    roots = {name.partition(".")[0] for name in loaded}
    assert roots & {"aiohttp", "asyncio", "databricks", "requests", "sqlalchemy", "sqlite3", "isal"} == set()


def test_a_command_loads_its_own_modules_only(tmp_path: Path) -> None:
    """A check loads the modules that check: no other command, no snapshot, no workspace, no local AI Runtime."""
    file = write(tmp_path, "a.yaml", VALID)
    script = (
        f"import sys; from {MODULE}.cli.parser import main; main(['validate', {file!r}])\n"
        "print(*sorted(name for name in sys.modules if name.startswith('" + MODULE + ".')), sep='\\n')"
    )
    done = in_a_process("-c", script)
    ours = {name.removeprefix(f"{MODULE}.") for name in done.stdout.splitlines()[1:]} - {"get_provider_info"}
    assert {name for name in ours if not name.startswith("run")} == {
        "cli",
        "cli.commands",
        "cli.commands.validate",
        "cli.envelope",
        "cli.parser",
        "cli.output",
        "cli.sign_in",
    }
    heavy = {
        "run.code.snapshot",
        "run.code.archive",
        "run.launch.payload",
        "run.config.schema.json_schema",
        "run.logs",
    }
    assert ours & heavy == set()


@pytest.mark.long
def test_starts_fast(tmp_path: Path) -> None:
    """Where Airflow is imported first, a check takes under a second beside that import."""
    file = write(tmp_path, "a.yaml", VALID)

    def seconds(*arguments: str) -> float:
        start = os.times()
        assert in_a_process(*arguments).returncode == 0
        end = os.times()
        return end.children_user + end.children_system - start.children_user - start.children_system

    check = min(seconds("-m", MODULE, "validate", file) for _ in range(2))
    assert check - min(seconds("-c", "import airflow") for _ in range(2)) < 1


@pytest.mark.long
def test_a_thousand_files_take_3_ms_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After start-up, a file of usual size is checked in at most 3 ms of this process's time."""
    (tmp_path / "src").mkdir()
    (tmp_path / "configs").mkdir()
    files = [write(tmp_path, f"{number}.yaml", USUAL) for number in range(1000)]
    assert main(["validate", files[0]]) == 0

    start = time.process_time()
    assert main(["validate", *files]) == 0

    assert time.process_time() - start < 3
    assert len(capsys.readouterr().out.splitlines()) == 1001


BASE = "compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}\n"
CHILD = "_bases_: [base.yaml]\nexperiment_name: demo\ncommand: x\n"


def test_base_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that another starts from need not be whole; what is wrong in it is told all the same."""
    base, child = write(tmp_path, "base.yaml", BASE), write(tmp_path, "train.yaml", CHILD)
    assert main(["validate", base, child]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{base}: ok (a base of {child})"

    assert main(["validate", "--output", "json", base]) == 0
    (report,) = json.loads(capsys.readouterr().out)["data"]["files"]
    assert (report["valid"], report["base_of"], report["errors"]) == (True, child, [])

    write(tmp_path, "base.yaml", BASE + "max_retries: -1\n")
    assert main(["validate", base]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"{base}: 1 error"


def test_part_that_nobody_starts_from_is_no_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that lacks what a run needs is an error where no other file starts from it."""
    assert main(["validate", write(tmp_path, "base.yaml", BASE)]) == 1
    assert "experiment_name: is required" in capsys.readouterr().out


def test_missing_base_adds_no_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base that is not there is one error: the fields that it may have had are not told as missing."""
    child = write(tmp_path, "train.yaml", CHILD + "compute: {priority_class: NORMAL}\n")
    assert main(["validate", child]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{child}: 1 error"
    assert "does not exist" in out


def test_missing_include_path_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry of include_paths that is not there is told before the launch, with its line."""
    (tmp_path / "src").mkdir()
    text = VALID + "code_source:\n  root_path: .\n  include_paths:\n  - src\n  - gone\n"
    file = write(tmp_path, "a.yaml", text)
    assert main(["validate", file]) == 1
    assert (
        f"{file}:8: code_source.include_paths[1]: 'gone' does not exist in {tmp_path}"
        in capsys.readouterr().out
    )


def test_indentation_counts_for_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document whose effective form passes 1 MiB only because of its indentation is refused, as by the launch."""
    inner = "{a: " * 40 + "[" + "x, " * 9000 + "]" + "}" * 40
    file = write(tmp_path, "a.yaml", VALID + f"parameters: {inner}\n")
    assert main(["validate", file]) == 1
    assert "the effective document has" in capsys.readouterr().out
