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
"""Every way to sign in on a real Airflow: runs that outlive ten tokens, with a worker and with the triggerer."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest

from airflow.providers.databricks_air.hooks.sign_in import METHODS
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import FINISHED, AirflowCluster, Settings, TaskKey, wait_for
from tests.story.sign_in.identity_servers import IdentityServers
from tests.story.sign_in.ways import Ways

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(1800)]

LIFETIME = 2.0
OUTAGE = 30.0
OAUTH = [way for way in METHODS if way != "pat"]
# The one has no word for a refusal; of the other the SDK tells none when it starts anew.
SILENT = {"metadata-service", "azure-cli"}
MODES = {"sync": False, "deferrable": True}
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

COMPUTE = {"accelerator_type": "GPU_1xA10", "num_accelerators": 1}

with DAG("ways", schedule=None, catchup=False):
    for conn_id in %r:
        for mode, deferrable in %r.items():
            AirRunOperator(
                task_id=f"{conn_id}_{mode}",
                config={"experiment_name": conn_id, "compute": COMPUTE, "command": "true", "max_retries": 0},
                databricks_air_conn_id=conn_id,
                deferrable=deferrable,
                polling_interval=1,
            )
"""


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """A workspace with tokens of two seconds, whose runs last until they are released, and everybody's connections."""
    directory = tmp_path_factory.mktemp("ways")
    with (
        LocalAirRuntime(directory / "air", token_seconds=LIFETIME) as air,
        IdentityServers(air, directory, LIFETIME) as world,
    ):
        air.on("*").hangs()
        yield Ways(world, directory)


@pytest.fixture(scope="module")
def airflow(ways: Ways) -> Iterator[AirflowCluster]:
    """An Airflow in which each way has a task for a worker and one for the triggerer."""
    env = {**ways.environment, "PATH": f"{ways.directory}:{os.environ['PATH']}"}
    settings = Settings(ways.directory / "airflow", parallelism=2 * len(METHODS), triggerers=1, env=env)
    with AirflowCluster(settings) as cluster:
        cluster.add_dag("ways", DAG % ([way.replace("-", "_") for way in METHODS], MODES))
        cluster.client.wait_dag("ways")
        yield cluster


def key(run_id: str, way: str, mode: str) -> TaskKey:
    """Return the task of a way and a mode."""
    return TaskKey("ways", run_id, f"{way.replace('-', '_')}_{mode}")


def begin(airflow: AirflowCluster, ways: Ways, run_id: str) -> None:
    """Start a Dag run, and wait until each task follows its run: the one in a worker, the other in the triggerer."""
    client, air = airflow.client, ways.world.air
    client.trigger("ways", run_id)
    wait_for(lambda: len(air.runs_alive) == len(METHODS) * len(MODES), "all runs", 600)
    for way in METHODS:
        client.wait_task(key(run_id, way, "deferrable"), {"deferred"}, 300)


def wait_renewed(ways: Ways, count: int) -> None:
    """Wait until each way has fetched so many more tokens."""
    wanted = {way: ways.world.fetched(way) + count for way in OAUTH}
    wait_for(
        lambda: all(ways.world.fetched(way) >= number for way, number in wanted.items()),
        "more tokens",
        300,
        every=2.0,
    )


def end(airflow: AirflowCluster, ways: Ways, run_id: str) -> dict[str, str]:
    """Let all runs end, and return the states of the tasks, and which of them show a refusal of the workspace."""
    for run in ways.world.air.runs_alive:
        ways.world.air.release(run)
    wait_for(lambda: airflow.client.run_state("ways", run_id) in FINISHED, "the Dag run to end", 600)
    found = {}
    for way in METHODS:
        for mode in MODES:
            one = key(run_id, way, mode)
            is_shown = re.search(r"(?<![.,\d])401\b", airflow.client.log(one, 1))
            found[one.task_id] = f"{airflow.client.task(one).state}{' with a 401' if is_shown else ''}"
    return found


def last_request(ways: Ways) -> int:
    """Return how many requests the workspace has had."""
    found = ways.world.air.requests(path="/api/2.2/jobs/runs/get")
    return found[-1].number if found else 0


@pytest.mark.parametrize("fault", ["down", "503", "garbage"])
def test_every_way_through_an_outage(airflow: AirflowCluster, ways: Ways, fault: str) -> None:
    """Runs of more than ten tokens, half a minute without new ones in the middle: success, and nobody sees a 401."""
    world, run_id = ways.world, f"with_{fault}"
    asked, fetched = last_request(ways), {way: world.fetched(way) for way in OAUTH}
    begin(airflow, ways, run_id)
    started = time.monotonic()
    wait_renewed(ways, 10)
    world.break_down(fault)
    time.sleep(OUTAGE)
    world.break_down("")
    wait_renewed(ways, 10)
    assert time.monotonic() - started > 20 + OUTAGE / 2
    assert end(airflow, ways, run_id) == {
        key(run_id, way, mode).task_id: "success" for way in METHODS for mode in MODES
    }
    # Each question needs a token of its own, and some ways two or three for one; nobody asks in vain.
    tokens = sum(world.fetched(way) - before for way, before in fetched.items())
    assert tokens < 3 * (last_request(ways) - asked)


def test_every_way_is_refused_for_good(airflow: AirflowCluster, ways: Ways) -> None:
    """After five minutes of refusals the task fails with the connection, the reason and the remedy."""
    world, run_id = ways.world, "refused"
    begin(airflow, ways, run_id)
    wait_renewed(ways, 2)
    world.break_down("refuse")
    refused = [key(run_id, way, mode) for way in OAUTH if way not in SILENT for mode in MODES]
    for one in refused:
        airflow.client.wait_task(one, {"failed"}, 900)
    world.break_down("")
    found = end(airflow, ways, run_id)
    assert {name for name, state in found.items() if state != "success"} == {one.task_id for one in refused}
    for one in refused:
        said = airflow.client.log(one, 1)
        assert f"connection '{one.task_id.rpartition('_')[0]}'" in said
        assert "Check the" in said
        assert world.air.token not in said
