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
"""Limits of nodes, their dependencies, and what a real MLflow client sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databricks_air_local import LocalAirRuntime
from wire import Client

if TYPE_CHECKING:
    from pathlib import Path


def test_memory_limit(tmp_path: Path) -> None:
    """A process that asks for more than the limit fails, the server does not."""
    with LocalAirRuntime(tmp_path, memory_limit=512 * 1024**2) as air:
        run, lines = Client(air).execute("python3 -c 'x = bytearray(10**9)'")

    assert run["state"]["result_state"] == "FAILED"
    assert "MemoryError" in lines


def test_processor_limit(tmp_path: Path) -> None:
    """A node sees as many processors as it may use."""
    with LocalAirRuntime(tmp_path, cpus=1) as air:
        _, lines = Client(air).execute("python3 -c 'import os; print(len(os.sched_getaffinity(0)))'")

    assert lines == ["1"]


def test_dependencies_are_named_when_they_are_not_installed(client: Client) -> None:
    """The log of a run says which dependencies it does not get."""
    _, lines = client.execute(
        "echo run", spec={"dependencies": ["numpy", "torch==2.3.0", "--trusted-host x"]}
    )

    assert lines == ["Dependencies not installed (see --install-dependencies): numpy, torch==2.3.0", "run"]


def test_dependencies_that_cannot_be_installed(tmp_path: Path) -> None:
    """The attempt fails as the platform's does, before the command ran."""
    with LocalAirRuntime(tmp_path, install_dependencies=True) as air:
        client = Client(air)
        missing = str(tmp_path / "missing-1.0-py3-none-any.whl")
        run, lines = client.execute("echo never", spec={"dependencies": [missing]})

    assert run["status"]["termination_details"]["code"] == "LIBRARY_INSTALLATION_ERROR"
    assert "Failed to install the dependencies" in run["state"]["state_message"]
    assert "never" not in lines


REAL_CLIENT = """
import os, pathlib, mlflow
with mlflow.start_run() as run:
    mlflow.log_params({"lr": 0.1, "depth": 3})
    mlflow.set_tag("kind", "test")
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_dict({"a": 1}, "d.json")
    pathlib.Path("out/sub").mkdir(parents=True, exist_ok=True)
    pathlib.Path("out/x.bin").write_bytes(bytes(300_000))
    pathlib.Path("out/sub/y.txt").write_text("y")
    mlflow.log_artifact("out/x.bin", "single")
    mlflow.log_artifacts("out", "many")
client = mlflow.MlflowClient()

def walk(path=""):
    for found in client.list_artifacts(run.info.run_id, path or None):
        if found.is_dir:
            yield from walk(found.path)
        elif not found.path.startswith("logs/"):
            yield found.path

print("metrics", client.get_run(run.info.run_id).data.metrics)
print("artifacts", *walk())
print("text", mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt"))
many = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="many")
print("same", open(many + "/x.bin", "rb").read() == bytes(300_000), sorted(os.listdir(many)))
for text in ("metrics.loss < 0.3 and params.lr = '0.1' and tags.kind LIKE 'te%'", "metrics.loss > 0.3"):
    found = mlflow.search_runs([run.info.experiment_id], text, max_results=5, order_by=["metrics.loss ASC"],
                               output_format="list")
    print("found", run.info.run_id in [item.info.run_id for item in found])
print("experiments", len(mlflow.search_experiments(filter_string="name LIKE '%/demo'")))
"""
SEEN = [
    "metrics {'loss': 0.2}",
    "artifacts d.json many/sub/y.txt many/x.bin notes/a.txt single/x.bin",
    "text hello",
    "same True ['sub', 'x.bin']",
    "found True",
    "found False",
]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_real_mlflow_client(tmp_path: Path) -> None:
    """With MLflow among the dependencies, what a command logs reaches the server; the environment is kept.

    Metrics, parameters, tags, texts, files and directories: in the workspace's own store, in that of the
    tracking URI that the platform sets, and on a volume.
    """
    command = f"python - <<'END'\n{REAL_CLIENT}\nEND"
    variants: list[tuple[str, dict[str, str]]] = [
        (command, {}),
        (f"export MLFLOW_TRACKING_URI=databricks\n{command}", {}),
        (command, {"mlflow_artifact_location": "dbfs:/Volumes/main/default/data/kept"}),
    ]
    with LocalAirRuntime(tmp_path, install_dependencies=True, volumes=["main.default.data"]) as air:
        client = Client(air)
        for number, (script, extra) in enumerate(variants):
            directory = {"mlflow_experiment_directory": f"/Workspace/Shared/{number}"}
            spec = {"dependencies": ["mlflow-skinny>=3"]}
            run_id = client.submit(script, air={**directory, **extra}, spec=spec)
            run = client.wait(run_id, seconds=500)
            lines = client.logs(run_id)
            assert run["state"]["result_state"] == "SUCCESS", lines
            assert ("Installing 1 dependencies ..." in lines) == (number == 0)
            words = [line.split(" ")[0] for line in SEEN]
            seen = [line for line in lines if line.split(" ")[0] in words]
            assert seen == SEEN
            assert f"experiments {number + 1}" in lines
        task = client.run(run_id)["tasks"][0]["run_id"]
        output = client.get("/api/2.2/jobs/runs/get-output", run_id=task).json["ai_runtime_task_output"]
        mlflow_run = output["mlflow_run_id"]
        history = client.get("/api/2.0/mlflow/metrics/get-history", run_id=mlflow_run, metric_key="loss")
        data = client.get("/api/2.0/mlflow/runs/get", run_id=mlflow_run).json["run"]["data"]
        unknown = [asked.path for asked in air.requests() if asked.status == 404 and asked.method != "HEAD"]

    assert [point["step"] for point in history.json["metrics"]] == [0, 1, 2, 3, 4]
    assert {"key": "lr", "value": "0.1"} in data["params"]
    assert {"key": "kind", "value": "test"} in data["tags"]
    assert unknown == []
