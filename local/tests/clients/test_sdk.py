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
"""databricks-sdk, unmodified, against the local AI Runtime: network, once."""

from __future__ import annotations

import pytest

from judge import Judge
from wire import Client

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


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
