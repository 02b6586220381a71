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
"""The published examples of ``run``: configurations, good and bad, as its authors try them by hand."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.story.commands.conftest import MINIMAL, Commands, Terminal

pytestmark = pytest.mark.plain

FULL = """\
experiment_name: full-run
command: |
  pip install -r requirements.txt
  python train.py
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
environment: {dependencies: [torch==2.3.0], version: 5}
env_variables: {WANDB_PROJECT: demo}
secrets: {HF_TOKEN: my_scope/hf_token}
parameters: {lr: 0.001, epochs: 3}
mlflow_run_name: full-run-v2
max_retries: 2
timeout_minutes: 120
"""
NOBODY = ("DATABRICKS_HOST", "DATABRICKS_TOKEN")


@pytest.mark.parametrize("text", [MINIMAL, FULL], ids=["min", "full"])
def test_dry_run_is_offline(commands: Commands, text: str) -> None:
    """``run -f FILE --dry-run`` checks the file without any sign-in, and asks nobody."""
    commands.write("a.yaml", text)
    done = commands.run("run", "-f", "a.yaml", "--dry-run", without=NOBODY)
    assert done.out.startswith("a.yaml: ok (")
    assert commands.air.requests() == []


def test_dry_run_as_json(commands: Commands) -> None:
    """``run -f FILE --dry-run -o json`` is one envelope of data."""
    commands.write("min.yaml", MINIMAL)
    envelope = commands.run("run", "-f", "min.yaml", "--dry-run", "-o", "json", without=NOBODY).envelope
    assert (envelope["v"], envelope["data"]) == (1, {"status": "DRY_RUN_OK", "dry_run": True})


def test_without_sign_in_it_fails_fast(commands: Commands) -> None:
    """Without any way to sign in, ``run`` exits with 1 and says so, in text and as an error envelope."""
    commands.write("min.yaml", MINIMAL)
    assert "cannot" in commands.run("run", "-f", "min.yaml", status=1, without=NOBODY).err
    error = commands.run("run", "-f", "min.yaml", "-o", "json", status=1, without=NOBODY).error
    assert (error["code"], error["kind"], error["retryable"]) == ("UNAUTHENTICATED", "PERMANENT", False)


def test_a_profile_that_is_missing_is_told(commands: Commands) -> None:
    """A profile that is not in the file is an error that names it."""
    commands.write("min.yaml", MINIMAL)
    done = commands.run("run", "-f", "min.yaml", "-p", "nobody", status=1, without=NOBODY)
    assert "nobody" in done.err


def test_a_profile_signs_in(commands: Commands) -> None:
    """``-p PROFILE`` takes host and token from the file of profiles."""
    commands.write("min.yaml", MINIMAL)
    commands.write(".databrickscfg", f"[dev]\nhost = {commands.air.url}\ntoken = {commands.air.token}\n")
    data = commands.run("run", "-f", "min.yaml", "-p", "dev", "-o", "json", without=NOBODY).data
    assert [str(run["run_id"]) for run in commands.air.runs()] == [data["run_id"]]


def test_submission(commands: Commands) -> None:
    """A submission prints run id and page; ``get`` and ``list`` know the run, whose variables and secrets arrive."""
    commands.write("full.yaml", FULL)
    data = commands.run("run", "-f", "full.yaml", "-o", "json").data
    number = data["run_id"]
    assert data == {
        "status": "PENDING",
        "run_id": number,
        "dashboard_url": f"{commands.air.url}/jobs/runs/{number}",
    }
    assert commands.run("get", number, "-o", "json").data["run_id"] == number
    rows = commands.run("list", "--all-status", "-o", "json").data["runs"]
    assert [row["run_id"] for row in rows] == [number]


def test_submission_as_text(commands: Commands) -> None:
    """Without ``-o json`` the same is said in words, on the standard output."""
    commands.write("min.yaml", MINIMAL)
    done = commands.run("run", "min.yaml")
    (run,) = commands.air.runs()
    page = f"{commands.air.url}/jobs/runs/{run['run_id']}"
    assert done.out == f"Submitted run {run['run_id']}\nView it at {page}\n"


def test_idempotency_keys(commands: Commands) -> None:
    """The same key is the same run; another key is a new one."""
    commands.write("min.yaml", MINIMAL)

    def submitted(key: str) -> str:
        return str(
            commands.run("run", "-f", "min.yaml", "--idempotency-key", key, "-o", "json").data["run_id"]
        )

    one, again, other = submitted("demo-key-1"), submitted("demo-key-1"), submitted("demo-key-2")
    assert one == again != other


def test_a_key_that_is_too_long_is_refused(commands: Commands) -> None:
    """A key of more than 64 characters is refused rather than cut."""
    commands.write("min.yaml", MINIMAL)
    done = commands.run("run", "-f", "min.yaml", "--idempotency-key", "k" * 65, status=1)
    assert "64" in done.err
    assert commands.air.runs() == []


def test_watch_and_override_work(commands: Commands) -> None:
    """``--override`` replaces values, several behind one flag; ``--watch`` prints the log and ends with the run."""
    commands.write("min.yaml", MINIMAL)
    done = commands.run(
        "run", "--override", "command=echo $WORLD_SIZE", "compute.num_accelerators=2", "min.yaml", "--watch"
    )
    assert done.out == "2\n"
    assert "SUCCESS" in done.err


def test_code_source_works(commands: Commands) -> None:
    """A run with ``code_source`` finds its code on the node."""
    commands.write("src/train.py", "print('from the snapshot')")
    commands.write(
        "code.yaml",
        "experiment_name: t\ncommand: python3 $CODE_SOURCE_PATH/train.py\nmax_retries: 0\n"
        "compute: {accelerator_type: GPU_1xH100, num_accelerators: 1}\n"
        "code_source: {type: snapshot, snapshot: {root_path: src}}\n",
    )
    assert commands.run("run", "code.yaml", "--watch").out == "from the snapshot\n"


def test_usage_policy_name_works(commands: Commands) -> None:
    """A usage policy that does not exist is an error of its field; nothing is submitted."""
    commands.write("policy.yaml", MINIMAL + "usage_policy_name: my-policy\n")
    done = commands.run("run", "-f", "policy.yaml", status=1)
    assert "usage_policy_name" in done.err
    assert commands.air.runs() == []


def test_missing_file_is_wrong_usage(commands: Commands) -> None:
    """Without a file the exit code is 2, and the error names what is missing, also as an envelope."""
    assert "FILE" in commands.run("run", "--dry-run", status=2).err
    error = commands.run("run", "--dry-run", "-o", "json", status=2).error
    assert error["code"] == "INVALID_ARGS"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"experiment_name": "bad.name"}, "experiment_name: 'bad.name'"),
        (
            {"type": "GPU_8xH100", "count": 3},
            "compute.num_accelerators: 3 is not a multiple of 8 (GPU_8xH100)",
        ),
        ({"type": "GPU_1xH100", "count": 0}, "compute.num_accelerators"),
        ({"type": "gpu_1xh100"}, "compute.accelerator_type"),
        ({"type": "h100_80gb"}, "compute.accelerator_type"),
        ({"type": "GPU_3xT4"}, "compute.accelerator_type"),
        ({"more": ", node_pool_id: a"}, "compute.node_pool_id"),
        ({"more": ", pool_name: a"}, "compute.pool_name"),
    ],
)
def test_invalid_configurations(commands: Commands, changes: dict[str, Any], told: str) -> None:
    """A mistake exits with 1 and names field, value and rule, before anything is asked."""
    values = {"experiment_name": "t", "type": "GPU_1xH100", "count": 1, "more": ""} | changes
    commands.write(
        "bad.yaml",
        "experiment_name: {experiment_name}\ncommand: x\n"
        "compute: {{accelerator_type: {type}, num_accelerators: {count}{more}}}\n".format(**values),
    )
    done = commands.run("run", "-f", "bad.yaml", "--dry-run", status=1, without=NOBODY)
    assert told in done.err
    assert done.out == ""


def test_invalid_configuration_as_json(commands: Commands) -> None:
    """All mistakes of a file stand in one error envelope."""
    commands.write("bad.yaml", MINIMAL.replace("air-cuj", "bad.name").replace("1}", "0}"))
    error = commands.run("run", "-f", "bad.yaml", "-o", "json", status=1).error
    assert error["code"] == "INVALID_CONFIG"
    assert "experiment_name" in error["message"]
    assert "num_accelerators" in error["message"]


def test_watch_as_json(commands: Commands) -> None:
    """With ``--watch -o json`` there is an event a line, and the envelope at the end."""
    commands.write("min.yaml", MINIMAL)
    change = ("--override", "command=echo out; exit 3", "max_retries=1")
    done = commands.run("run", "min.yaml", *change, "--watch", "-o", "json", status=1)
    *events, last = [json.loads(line) for line in done.out.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "SUBMITTED"
    assert next(event for event in events if event["type"] == "RETRY")["retry"] == 1
    assert {"type": "LOG", "node": 0, "line": "out"}.items() <= next(
        event for event in events if event["type"] == "LOG"
    ).items()
    assert last["data"]["status"] == "FAILED"


def test_progress_is_for_terminals(commands: Commands) -> None:
    """Where a person looks at a terminal, a bar shows how much of the code is uploaded; a pipe gets nothing of it."""
    commands.write("src/weights.bin", "").write_bytes(os.urandom(3_000_000))
    commands.write("a.yaml", MINIMAL + "code_source: {root_path: src}\n")
    # Long enough for a look at what is shown meanwhile.
    commands.air.add_fault("*/import-file/*", times=-1, then="answer", delay=1.0)
    shown = Terminal(commands, "run", "-f", "a.yaml")
    shown.until("Uploading the code")
    shown.until("3.0/3.0 MB")
    shown.until("Submitted run")
    assert shown.end() == 0
    assert "Uploading" not in commands.run("run", "-f", "a.yaml").err
