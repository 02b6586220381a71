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
"""Databricks' own clients, unmodified, against the local AI Runtime: what they print is compared."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from wire import Client

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
JUDGE = ROOT / ".venv" / "judge"
PACKAGES = ("databricks-air==1.2.1", "databricks-sdk==0.156.0")
YAML = """
experiment_name: judge
compute: {accelerator_type: GPU_1xH100, num_accelerators: 2}
environment: {version: "4", dependencies: []}
env_variables: {WHO: judge}
parameters: {lr: 0.1}
code_source: {type: snapshot, snapshot: {root_path: src}}
command: |
  echo "node $NODE_RANK of $NUM_NODES for $WHO"
  cat $HYPERPARAMETERS_PATH
  python3 $CODE_SOURCE_PATH/train.py
max_retries: 1
"""


@pytest.fixture(scope="session")
def judge() -> Path:
    """Install the clients into an environment of their own and return its ``bin`` (network, once)."""
    (ROOT / ".venv").mkdir(exist_ok=True)
    with (ROOT / ".venv" / "judge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = JUDGE / ".done"
        if not done.exists() or done.read_text() != " ".join(PACKAGES):
            uv = str(ROOT / ".venv" / "uv" / "bin" / "uv")
            subprocess.run(
                [uv, "venv", "--quiet", "--clear", "--python", ">=3.10,<3.13", str(JUDGE)], check=True
            )
            python = str(JUDGE / "bin" / "python")
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
            done.write_text(" ".join(PACKAGES))
    return JUDGE / "bin"


@pytest.fixture
def air() -> Iterator[LocalAirRuntime]:
    """Start a server that also writes the platform's own first line, which clients hide."""
    with LocalAirRuntime(requirements_notice=True) as runtime:
        yield runtime


class Judge:
    """Runs the clients' commands."""

    def __init__(self, air: LocalAirRuntime, bin_directory: Path, work: Path) -> None:
        self._bin = bin_directory
        self._work = work
        self._environment = {
            "PATH": f"{bin_directory}:{os.environ['PATH']}",
            "HOME": str(work),
            "COLUMNS": "200",
            "DATABRICKS_HOST": air.url,
            "DATABRICKS_TOKEN": air.token,
            "NO_PROXY": "127.0.0.1",
        }
        (work / "src").mkdir()
        (work / "src" / "train.py").write_text('print("hello from the snapshot")\n')
        (work / "train.yaml").write_text(YAML)

    def air(self, *arguments: str, status: int = 0) -> str:
        """Run ``air`` and return what it printed."""
        return self.run("air", *arguments, status=status)

    def data(self, *arguments: str) -> Any:
        """Run ``air --json`` and return the data of the last envelope."""
        return json.loads(self.air("--json", *arguments).splitlines()[-1])["data"]

    def run(self, *command: str, status: int = 0) -> str:
        """Run a program of the judge's environment."""
        done = subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self._work,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def script(self, code: str) -> Any:
        """Run Python with the SDK and return the JSON that it printed last."""
        return json.loads(self.run("python", "-c", textwrap.dedent(code)).splitlines()[-1])


@pytest.fixture
def judging(air: LocalAirRuntime, judge: Path, tmp_path: Path) -> Judge:
    """Return the clients, pointed at the server."""
    return Judge(air, judge, tmp_path)


def test_air_run_and_get(judging: Judge, client: Client) -> None:
    """``air run`` submits, ``air get run`` shows it."""
    data = judging.data("run", "train.yaml")
    assert ("PENDING", f"{client.air.url}/jobs/runs/{data['run_id']}") == (
        data["status"],
        data["dashboard_url"].partition("?")[0],
    )
    client.wait(int(data["run_id"]))

    shown = judging.data("get", "run", data["run_id"])

    assert (shown["status"], shown["attempt_number"]) == ("SUCCESS", 0)
    assert re.fullmatch(
        rf"{client.air.url}/ml/experiments/\d+/runs/[0-9a-f]{{32}}/artifacts/logs/node_0\?o=\d+",
        shown["mlflow_url"],
    )
    text = judging.air("get", "run", data["run_id"])
    assert "experiment_name: judge" in text
    assert re.search(r"Accelerators\s+\S\s+2x H100", text)


def test_air_run_watch(judging: Judge, client: Client) -> None:
    """``air run --watch`` streams the lines of node 0 and ends with the run."""
    lines = judging.air("run", "train.yaml", "--watch").splitlines()

    assert lines[-3:] == ["node 0 of 2 for judge", "lr: 0.1", "hello from the snapshot"]
    assert all(run["state"]["result_state"] == "SUCCESS" for run in client.air.runs())


def test_air_run_watch_of_a_failure(judging: Judge) -> None:
    """A run that fails after its retries ends the command with a status that is not 0."""
    printed = judging.air(
        "--json", "run", "train.yaml", "--watch", "--override", "command=echo before; exit 3", status=1
    )
    events = [json.loads(line) for line in printed.splitlines()]

    assert {"SUBMITTED", "STATUS", "LOG", "ALERT"} <= {event.get("type") for event in events}
    assert events[-1]["data"]["status"] == "FAILED"


def test_air_run_twice_with_one_key(judging: Judge, client: Client) -> None:
    """The same idempotency key gives the same run."""
    first, second = (judging.data("run", "train.yaml", "--idempotency-key", "k") for _ in range(2))

    assert first["run_id"] == second["run_id"]
    assert client.air.runs_created == 1


def test_air_list(judging: Judge, client: Client) -> None:
    """``air list runs`` shows the active runs."""
    client.air.on("judge").hangs()
    run_id = judging.data("run", "train.yaml")["run_id"]

    runs = judging.data("list", "runs")["runs"]

    assert [run_id] == [run["run_id"] for run in runs]
    assert run_id in judging.air("list", "runs")


def test_air_logs(judging: Judge, client: Client) -> None:
    """``air logs`` of a node, of a retry and of the tail."""
    client.air.on("judge").fails(logs=["first attempt"]).executes()
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))
    own = ["lr: 0.1", "hello from the snapshot"]

    assert ["node 0 of 2 for judge", *own] == judging.air("logs", run_id).splitlines()
    assert ["node 1 of 2 for judge", *own] == judging.air("logs", run_id, "--node", "1").splitlines()
    assert own[-1:] == judging.air("logs", run_id, "--tail", "1").splitlines()
    failed = judging.air("logs", run_id, "--retry", "0", status=0).splitlines()
    assert (failed[0], len(failed)) == ("first attempt", 2)
    assert failed[1].startswith("ERROR: Script failed with exit code 1 after ")


def test_air_logs_download(judging: Judge, client: Client, tmp_path: Path) -> None:
    """``air logs --download-to`` writes one file per node, from the chunks in MLflow."""
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))

    judging.air("logs", run_id, "--download-to", "logs")

    notice = "No co-located requirements.yaml at"
    for node in (0, 1):
        lines = (tmp_path / "logs" / "logs" / f"node_{node}.log").read_text().splitlines()
        own = [line for line in lines if not line.startswith(notice)]
        assert own == [f"node {node} of 2 for judge", "lr: 0.1", "hello from the snapshot"]


def test_air_cancel(judging: Judge, client: Client) -> None:
    """``air cancel`` ends one run, ``air cancel --all`` all that are left."""
    client.air.on("judge").hangs()
    runs = [judging.data("run", "train.yaml")["run_id"] for _ in range(3)]

    judging.air("cancel", runs[0])
    assert client.wait(int(runs[0]))["state"]["result_state"] == "CANCELED"
    assert [int(run) for run in runs[1:]] == client.air.runs_alive
    judging.air("cancel", "--all", "--yes")

    assert [client.wait(int(run))["state"]["result_state"] for run in runs] == ["CANCELED"] * 3


def test_air_without_the_log_endpoint(judging: Judge, client: Client) -> None:
    """When the log endpoint is off, the client reads the chunks in MLflow."""
    client.air.add_fault("*/by-run-id/*/logs", status=403, error_code="FEATURE_DISABLED", times=-1)
    run_id = judging.data("run", "train.yaml")["run_id"]
    client.wait(int(run_id))

    assert "hello from the snapshot" in judging.air("logs", run_id)


def test_sdk_jobs(judging: Judge, client: Client) -> None:
    """``WorkspaceClient.jobs``: submit, get, output, list, cancel, an unknown run."""
    client.air.on("s").hangs()
    client.put_file("/Workspace/Users/you@example.com/s/command.sh", "true")
    found = judging.script(
        """
        import json
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.errors import InvalidParameterValue, ResourceDoesNotExist
        from databricks.sdk.service import compute, jobs

        w = WorkspaceClient()
        deployment = jobs.DeploymentSpec(
            command_path="/Workspace/Users/you@example.com/s/command.sh",
            compute=jobs.ComputeSpec(jobs.ComputeSpecAcceleratorType.GPU_1X_H100, 1),
        )
        air = jobs.AiRuntimeTask("s", [deployment])
        task = jobs.SubmitTask("s", ai_runtime_task=air, environment_key="default")
        environment = jobs.JobEnvironment("default", compute.Environment(environment_version="6"))
        made = w.jobs.submit(run_name="s", tasks=[task], environments=[environment], idempotency_token="t")
        run_id = made.run_id
        run = w.jobs.get_run(run_id)
        output = w.jobs.get_run_output(run.tasks[0].run_id)
        listed = [item.run_id for item in w.jobs.list_runs(active_only=True, expand_tasks=True)]
        w.jobs.cancel_run(run_id)
        ended = w.jobs.wait_get_run_job_terminated_or_skipped(run_id)
        try:
            w.jobs.get_run(5)
        except ResourceDoesNotExist as error:
            unknown = str(error)
        try:
            w.jobs.submit(run_name="s", tasks=[task])
        except InvalidParameterValue as error:
            refused = str(error)
        same = output.metadata.run_id == run.tasks[0].run_id
        result = ended.state.result_state.value
        print(json.dumps([run_id, listed, run.run_type.value, result, unknown, refused, same]))
        """
    )

    assert found[1] == [found[0]]
    assert found[2:5] == ["SUBMIT_RUN", "CANCELED", "Run 5 does not exist."]
    assert "environment" in found[5]
    assert found[6]


def test_sdk_workspace_files_experiments_user(judging: Judge) -> None:
    """``WorkspaceClient``: workspace, files (also in parts), experiments, permissions, current user."""
    found = judging.script(
        """
        import io, json, os
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.errors import NotFound, ResourceAlreadyExists
        from databricks.sdk.service.workspace import ImportFormat

        w = WorkspaceClient()
        me = w.current_user.me().user_name
        home = f"/Workspace/Users/{me}"
        w.workspace.mkdirs(f"{home}/d")
        content = io.BytesIO(b"content")
        w.workspace.upload(f"{home}/d/a.txt", content, format=ImportFormat.AUTO, overwrite=True)
        listed = [item.path for item in w.workspace.list(f"{home}/d")]
        text = w.workspace.download(f"{home}/d/a.txt").read().decode()
        w.workspace.delete(f"{home}/d", recursive=True)
        try:
            w.workspace.get_status(f"{home}/d")
        except NotFound as error:
            gone = str(error)

        volume = "/Volumes/main/default/data"
        w.files.create_directory(f"{volume}/x")
        w.files.upload(f"{volume}/x/small.bin", io.BytesIO(b"small"))
        try:
            w.files.upload(f"{volume}/x/small.bin", io.BytesIO(b"small"))
        except ResourceAlreadyExists as error:
            taken = type(error).__name__
        except Exception as error:
            taken = type(error).__name__
        big = os.urandom(60 * 1024 * 1024)
        w.files.upload(f"{volume}/x/big.bin", io.BytesIO(big))
        same = w.files.download(f"{volume}/x/big.bin").contents.read() == big
        names = sorted(item.name for item in w.files.list_directory_contents(f"{volume}/x"))
        size = w.files.get_metadata(f"{volume}/x/big.bin").content_length
        experiment = w.experiments.create_experiment(f"/Users/{me}/e").experiment_id
        run = w.experiments.create_run(experiment_id=experiment).run.info.run_id
        w.experiments.log_metric("loss", 0.5, 1, run_id=run, step=3)
        history = [(m.step, m.value) for m in w.experiments.get_history("loss", run_id=run)]
        print(json.dumps([me, listed, text, gone, taken, same, names, size, history]))
        """
    )

    me, listed, text, gone, taken, same, names, size, history = found
    assert (me, text) == ("you@example.com", "content")
    assert listed == ["/Users/you@example.com/d/a.txt"]
    assert "doesn't exist" in gone
    assert "AlreadyExists" in taken
    assert same
    assert (names, size) == (["big.bin", "small.bin"], 60 * 1024**2)
    assert history == [[3, 0.5]]


def test_sdk_with_an_oauth_client(judging: Judge, client: Client) -> None:
    """Machine-to-machine OAuth works, and a token that expired is fetched anew."""
    found = judging.script(
        f"""
        import json, os
        from databricks.sdk import WorkspaceClient

        os.environ.pop("DATABRICKS_TOKEN")
        w = WorkspaceClient(client_id="app", client_secret={client.air.token!r}, auth_type="oauth-m2m")
        print(json.dumps([w.current_user.me().user_name, w.get_workspace_id()]))
        """
    )

    assert found == ["you@example.com", 1234567890123456]
