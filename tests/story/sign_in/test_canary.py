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
"""Recognisable secrets in every field of every connection, and a search for them wherever something is written."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import (
    AIRFLOW_3,
    FINISHED,
    AirflowCluster,
    Settings,
    TaskKey,
    task_process,
    wait_for,
)
from tests.story.sign_in.identity_servers import IdentityServers
from tests.story.sign_in.ways import Ways

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(1800)]

CANARY = "canary5ecret"
# Half of the ways are waited for by a worker, the others by the triggerer; these two in all ways to end.
THOROUGH = ("pat", "oauth-m2m")
DAG = """
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator

COMPUTE = {"accelerator_type": "GPU_1xA10", "num_accelerators": 1}

def train(task_id, conn_id, command, deferrable, **options):
    config = {"experiment_name": command.split()[0], "compute": COMPUTE, "command": command, "max_retries": 0}
    AirRunOperator(
        task_id=task_id, config=config, databricks_air_conn_id=conn_id, deferrable=deferrable, polling_interval=1,
        retry_delay=timedelta(seconds=1), **options,
    )

with DAG("%s", schedule=None, catchup=False):
    for args in %r:
        train(*args[:4], **args[4])
"""


def good_and_bad(conn_ids: list[str]) -> Iterator[tuple[str, str, str, bool, dict[str, Any]]]:
    """Return the tasks: name, connection, command, whether it is deferred, and more arguments."""
    thorough = {one.replace("-", "_") for one in THOROUGH}
    for number, conn_id in enumerate(conn_ids):
        if conn_id not in thorough:
            yield f"{conn_id}_good", conn_id, "echo well", number % 2 == 0, {}
            continue
        for deferrable, name in ((False, "sync"), (True, "deferrable")):
            yield f"{conn_id}_good_{name}", conn_id, "echo well", deferrable, {}
            yield f"{conn_id}_bad_{name}", conn_id, "false", deferrable, {}
            yield f"{conn_id}_long_{name}", conn_id, "long", deferrable, {"retries": 1}


def wrong_connections(air: LocalAirRuntime) -> dict[str, dict[str, Any]]:
    """Return connections that do not work, for one reason each, with a secret in each of their fields."""
    azure = {"azure_tenant_id": "tenant", "azure_client_secret": f"{CANARY}1", "auth_type": "pat"}
    naked = f"http://me:{CANARY}7@example.com"
    return {
        "wrong": {"host": air.url, "password": f"{CANARY}2"},
        "unknown": {"host": air.url, "password": f"{CANARY}3", "extra": {"secret_of_mine": f"{CANARY}4"}},
        "alien": {"host": air.url, "password": f"{CANARY}5", "extra": azure},
        "refused": {"host": air.url, "login": "app", "password": f"{CANARY}6"},
        "naked": {"host": naked, "password": f"{CANARY}8"},
        "nowhere": {"host": f"https://me:{CANARY}9@", "password": f"{CANARY}10"},
        "no_key": {"host": air.url, "password": f"{CANARY}11", "extra": {"auth_type": "google-credentials"}},
        "both": {"host": air.url, "password": f"{CANARY}12", "extra": {"token": f"{CANARY}13"}},
    }


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    """A workspace with short tokens, and connections for every way to sign in there."""
    with (
        LocalAirRuntime(tmp_path / "air", token_seconds=5) as air,
        IdentityServers(air, tmp_path, 5) as world,
    ):
        found = Ways(world, tmp_path)
        for way, connection in found.connections.items():
            if connection["host"]:
                connection["host"] = air.url.replace("//", f"//me:{CANARY}0@")
            found.environment[f"AIRFLOW_CONN_{way.upper().replace('-', '_')}"] = json.dumps(connection)
        for conn_id, fields in wrong_connections(air).items():
            text = json.dumps({"conn_type": "databricks_air", **fields})
            found.environment[f"AIRFLOW_CONN_{conn_id.upper()}"] = text
        found.environment["HTTPS_PROXY"] = world.url.replace("//", f"//me:{CANARY}14@")
        air.on("long").hangs()
        yield found


@pytest.fixture
def airflow(ways: Ways, tmp_path: Path) -> Iterator[AirflowCluster]:
    """An Airflow that logs all it can, with the connections in its environment, and one more in its database."""
    env = {
        **ways.environment,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    with AirflowCluster(Settings(tmp_path / "airflow", parallelism=4, triggerers=1, env=env)) as cluster:
        air = ways.world.air
        stored = {"host": air.url, "password": air.token, "extra": json.dumps({"workspace_id": "7"})}
        cluster.client.add_connection("stored", {"conn_type": "databricks_air", **stored})
        yield cluster


def conn_ids(ways: Ways) -> list[str]:
    """Return the connections that work."""
    return [way.replace("-", "_") for way in ways.connections] + ["stored"]


def run_all(airflow: AirflowCluster, ways: Ways) -> list[TaskKey]:
    """Run the Dag through success, failure, a restarted triggerer, a killed worker and a click; return its tasks."""
    tasks = list(good_and_bad(conn_ids(ways)))
    wrong: list[Any] = [(name, name, "true", False, {}) for name in wrong_connections(ways.world.air)]
    airflow.add_dag("canary", DAG % ("canary", tasks + wrong))
    client, air = airflow.client, ways.world.air
    client.wait_dag("canary")
    client.trigger("canary", "one")
    keys = {name: TaskKey("canary", "one", name) for name, *_ in tasks + wrong}
    for name in ("pat_long_deferrable", "oauth_m2m_long_deferrable"):
        client.wait_task(keys[name], {"deferred"}, 600)
    airflow.triggerers[0].kill()
    airflow.triggerers[0].start()
    client.wait_pid(keys["pat_long_sync"], 600)
    wait_for(lambda: len(long_runs(air)) == 4, "all long runs", 600)
    os.kill(task_process(client, keys["oauth_m2m_long_sync"]).pid, signal.SIGKILL)
    client.mark(keys["pat_long_sync"], "failed")
    wait_for(lambda: client.task(keys["oauth_m2m_long_sync"]).try_number == 2, "another try", 300)
    client.wait_pid(keys["oauth_m2m_long_sync"], 300)
    for run_id in long_runs(air):
        air.release(run_id)
    wait_for(lambda: client.run_state("canary", "one") in FINISHED, "the Dag run to end", 900)
    failed = {"pat_long_sync", *wrong_connections(air), *(name for name in keys if "_bad_" in name)}
    states = {name: client.task(key).state for name, key in keys.items()}
    assert states == {name: "failed" if name in failed else "success" for name in keys}
    return list(keys.values())


def long_runs(air: LocalAirRuntime) -> list[int]:
    """Return the ids of the runs that wait for their release."""
    return [int(run["run_id"]) for run in air.runs() if run["run_name"] == "long" and run["alive"]]


def pages(airflow: AirflowCluster, keys: list[TaskKey]) -> Iterator[tuple[str, str]]:
    """Return what people see of tasks in a browser: addresses and texts."""
    client = airflow.client
    for key in keys:
        yield from ((path, client.read(path)) for path in task_pages(airflow, key))
    dag = keys[0].dag_id
    if AIRFLOW_3:
        api = [f"/dags/{dag}/details", f"/dagSources/{dag}", "/eventLogs?limit=1000", "/connections"]
        paths = [f"/api/v2{path}" for path in api] + ["/databricks-air/fleet"]
    else:
        paths = [f"/dags/{dag}/details", f"/dags/{dag}/code", "/log/list/", "/connection/list/"]
    yield from ((path, client.read(path)) for path in paths)


def task_pages(airflow: AirflowCluster, key: TaskKey) -> list[str]:
    """Return the addresses of one task's pages; on Airflow 3 what they ask for."""
    if AIRFLOW_3:
        query = urlencode({"run_id": key.run_id, "task_id": key.task_id})
        own = ["", "/links", "/tries", "/xcomEntries", "/xcomEntries/return_value?stringify=false", "/logs/1"]
        kept = airflow.client.xcom(key) is not None
        return [
            *(f"/api/v2{key.path}{one}" for one in own if kept or "return_value" not in one),
            f"/databricks-air/dags/{key.dag_id}/task?{query}",
        ]
    date = airflow.client.logical_date(key.dag_id, key.run_id)
    query = urlencode({"dag_id": key.dag_id, "task_id": key.task_id, "execution_date": date})
    logs = f"/api/v1{key.path}/logs/1"
    return [*(f"/{name}?{query}" for name in ("task", "rendered-templates", "xcom", "log")), logs]


def findings(airflow: AirflowCluster, ways: Ways, keys: list[TaskKey]) -> dict[str, list[str]]:
    """Search wherever something is written, and return what was found, by kind of place."""
    air, world = ways.world.air, ways.world
    key_line = json.loads(ways.connections["google-credentials"]["password"])["private_key"].split("\n")[5]
    known = "|".join(map(re.escape, [air.token, key_line, *world.secrets]))
    secret = re.compile(
        rf"{CANARY}\d*|{known}|signed-local[0-9a-f]{{32}}|/local/sealed/\d+-[0-9a-f]{{64}}", re.ASCII
    )
    tables = airflow.dump_database()
    assert "pat_long_sync" in tables["task_instance"]
    # The Dag itself is no place where we write.
    files = {
        str(path): path.read_bytes().decode("latin-1")
        for path in airflow.home.rglob("*")
        if path.is_file() and path.parent.name != "dags"
    }
    uploads = {
        str(path): path.read_bytes().decode("latin-1") for path in (ways.directory / "air/blobs").iterdir()
    }
    assert any("pat_long_sync" in name for name in files)
    assert any(uploads.values())
    places = {
        "task log": {name: text for name, text in files.items() if "task_id=" in name},
        "component": {name: text for name, text in files.items() if "task_id=" not in name},
        "table": tables,
        "launch": {**uploads, "submitted": json.dumps([run["body"] for run in air.runs()])},
        "page": dict(pages(airflow, keys)),
    }
    return {
        kind: [f"{name}: {match[0]}" for name, text in texts.items() if (match := secret.search(text))]
        for kind, texts in places.items()
    }


def test_no_secret_is_written_down(airflow: AirflowCluster, ways: Ways) -> None:
    """Through success, failure, a kill, a click and a restarted triggerer: in no log, table, upload or page.

    The search finds what a user writes into a command, in each of these places.
    """
    keys = run_all(airflow, ways)
    found = findings(airflow, ways, keys)
    assert {kind: names for kind, names in found.items() if names} == {}
    leak: tuple[Any, ...] = ("leak", "pat", f"echo {CANARY}99", True, {})
    airflow.add_dag("leaky", DAG % ("leaky", [leak]))
    airflow.client.wait_dag("leaky")
    airflow.client.trigger("leaky", "one")
    key = TaskKey("leaky", "one", "leak")
    airflow.client.wait_task(key, FINISHED, 300)
    found = findings(airflow, ways, [key])
    assert {kind for kind, names in found.items() if not names} <= {"component"}
    assert any("rendered_task_instance_fields" in name for name in found["table"])
