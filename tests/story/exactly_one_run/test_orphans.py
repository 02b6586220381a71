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
"""Runs that nobody follows are found by the note in their launch directory, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.cli.parser import main
from airflow.providers.databricks_air.lifecycle.attempts import Seen
from airflow.providers.databricks_air.lifecycle.end import orphans
from airflow.providers.databricks_air.lifecycle.end.orphans import end_orphans, find_orphans
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.version_compat import airflow_instance
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

CONFIG = load_run_config(
    "experiment_name: orphans\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "max_retries: 0\ncommand: echo\n"
)
CONTAINERS = load_run_config(
    "experiment_name: orphans\ncompute: {accelerator_type: GPU_8xH100, num_accelerators: 16}\nmax_retries: 0\n"
    'containers: [{name: a, command: echo, ranks: [0], unity_catalog_image: "m.s.a:1"}, {name: b, command: echo, ranks: [1], unity_catalog_image: "m.s.b:1"}]\n'
)
# What Airflow says of the task, what its XCom says of its run ("own", "other" or nothing), the rest of the note.
UNFOLLOWED = [
    (Seen("failed"), "own", {}),
    (Seen("success"), "own", {}),
    (Seen("skipped"), None, {}),
    (Seen("upstream_failed"), None, {}),
    (Seen("removed"), None, {}),
    (Seen(None), "own", {}),
    (Seen("running"), "other", {}),
    (Seen("deferred"), "other", {}),
    (Seen("failed"), "other", {"try_number": 4}),
    (Seen("failed"), "own", {"map_index": 7}),
]
FOLLOWED = [
    (Seen("running"), "own", {}),
    (Seen("deferred"), "own", {}),
    (Seen("queued"), "own", {}),
    (Seen("scheduled"), None, {}),
    (Seen("up_for_retry"), "own", {}),
    (Seen("restarting"), "own", {}),
    (Seen("running"), None, {}),
    (None, "own", {}),
    (Seen("failed"), "own", {"on_kill": "detach"}),
    (Seen("success"), "own", {"waits": False}),
    (Seen(None), "own", {"on_clear": "adopt"}),
    (Seen("failed"), "own", {"airflow": "https://another.example.com"}),
]


class View(dict[str, tuple[Any, Any]]):
    """An Airflow that knows a few task instances, by the id of their Dag run."""

    def state(self, ti: Any) -> Seen | None:
        """Return the state of a task instance."""
        state: Seen | None = self[ti.run_id][0]
        return state

    def xcom(self, ti: Any, key: str) -> Any:
        """Return the run that a task instance follows."""
        assert key == "run_id"
        return self[ti.run_id][1]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[LocalAirRuntime, SyncClient]]:
    """Start a server whose runs never end."""
    with LocalAirRuntime(tmp_path / "air", images=["m.s.a:1", "m.s.b:1"]) as air:
        air.on("*").hangs()
        client = SyncClient(TokenCredentials(air.url, air.token))
        yield air, client
        client.close()


def note(dag_run: str, **more: Any) -> dict[str, Any]:
    """Return the note of a task."""
    task = {"dag_id": "dag", "run_id": dag_run, "task_id": "train", "map_index": -1, "try_number": 1}
    return {
        "airflow": airflow_instance(),
        **task,
        "on_kill": "cancel",
        "on_clear": "rerun",
        "waits": True,
        **more,
    }


def plant(client: SyncClient, view: View, cases: list[Any], name: str) -> set[int]:
    """Submit a run for each case, and return their ids."""
    planted = set()
    for number, (seen, follows, more) in enumerate(cases):
        dag_run = f"{name}-{number}"
        config = CONTAINERS if number % 5 == 4 else CONFIG
        run_id = launch(client, config, token=dag_run, owner=note(dag_run, **more))
        view[dag_run] = (seen, {"own": run_id, "other": 1, None: None}[follows])
        planted.add(run_id)
    return planted


def test_all_that_nobody_follows_is_found_and_nothing_else(
    client: tuple[LocalAirRuntime, SyncClient],
) -> None:
    """20 of 20 planted runs are found, 0 of 24 healthy ones, and none without a note; only those are ended."""
    air, connection = client
    view = View()
    planted = plant(connection, view, UNFOLLOWED * 2, "planted")
    healthy = plant(connection, view, FOLLOWED * 2, "healthy")
    healthy.add(launch(connection, CONFIG, token="somebody-else"))
    assert len(planted) == 20

    found = list(find_orphans(connection, view, older_than=0))

    assert {one.run.run_id for one in found} == planted
    assert all(one.why and "train" in one.task for one in found)
    end_orphans(connection, found)
    assert set(air.runs_alive) >= healthy
    assert {run["run_id"] for run in air.runs() if run["state"].get("result_state") == "CANCELED"} <= planted


def test_a_young_run_is_left_alone(client: tuple[LocalAirRuntime, SyncClient]) -> None:
    """A task that has just submitted has not said so yet."""
    _, connection = client
    view = View()
    plant(connection, view, UNFOLLOWED[:1], "young")
    assert not list(find_orphans(connection, view))


def test_the_command_lists_and_ends_them(
    air: LocalAirRuntime,
    run_dag: Callable[..., Outcome],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``orphans`` asks Airflow's database: the run of a task that is over is listed, and ended on request."""
    train = "experiment_name: story\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\nmax_retries: 0\n"
    body = "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3)"
    outcome = run_dag(body, train=train + "command: echo")
    assert outcome.states == {"train": "success"}, outcome.text
    client = SyncClient(TokenCredentials(air.url, air.token))
    owner = own_note(client, air)
    assert owner["task_id"] == "train"
    air.on("orphans").hangs()
    run_id = launch(client, CONFIG, token="orphan", owner=owner)
    capfd.readouterr()

    assert main(["orphans", "--older-than", "0"]) == 1
    listed = capfd.readouterr().out
    task = f"{owner['dag_id']}.train"
    assert re.search(rf"^{run_id} +orphans +{task} of .* the task is over: success *$", listed, re.MULTILINE)
    assert main(["orphans", "--older-than", "0", "-o", "json"]) == 1
    (orphan,) = json.loads(capfd.readouterr().out.splitlines()[-1])["data"]["orphans"]
    assert (orphan["run_id"], orphan["unfollowed"]) == (str(run_id), "the task is over: success")
    monkeypatch.setattr(orphans, "YOUNG", 0.0)
    assert main(["list", "--airflow", "-o", "json"]) == 0
    (row,) = json.loads(capfd.readouterr().out.splitlines()[-1])["data"]["runs"]
    assert (row["run_id"], row["unfollowed"]) == (str(run_id), "the task is over: success")
    assert main(["orphans", "--older-than", "0", "--cancel"]) == 0
    assert run_id not in air.runs_alive
    client.close()


def own_note(client: SyncClient, air: LocalAirRuntime) -> Any:
    """Return the note that the operator has left beside its run."""
    from airflow.providers.databricks_air.api.launch.notes import LiveRun, read_note

    (run,) = air.runs()
    path = run["tasks"][0]["ai_runtime_task"]["deployments"][0]["command_path"]
    return read_note(client, LiveRun(run["run_id"], "", path.rpartition("/")[0], 0))
