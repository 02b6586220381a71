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
"""The pages in Airflow: what they show of runs, to whom, and what that costs the workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_1_PLUS, airflow_instance
from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import DagRunner

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow has pages of plugins since 3.1")

ORPHAN = """
experiment_name: lost
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: "true"
"""
LOSSES = [3.0, 2.0, 1.5, 1.25]
TRACEBACK = [
    "<b>bold</b>",
    "Traceback (most recent call last):",
    '  File "a.py", line 1',
    "ValueError: the loss is <nan>",
]
TASKS = """
def train(name, compute, **options):
    config = {"experiment_name": name, "compute": compute, "max_retries": 0, "command": "true"}
    return AirRunOperator(task_id=name, config=config, polling_interval=0.3, **options)

one = {"accelerator_type": "GPU_1xA10", "num_accelerators": 1}
train("red", one)
for name in ("waiting", "quiet", "lost"):
    train(name, one, wait_for_termination=False)
train("live", {"accelerator_type": "GPU_8xH100", "num_accelerators": 16}, wait_for_termination=False)
"""


class Visitor:
    """Opens pages as a user of Airflow."""

    def __init__(self, client: TestClient, dag_id: str) -> None:
        self._client = client
        self._dag_id = dag_id

    def get(self, path: str, user: str = "admin", role: str = "admin") -> tuple[int, str]:
        """Return status and text of a page."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        self._client.cookies.clear()
        if user:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=role))
            self._client.cookies.set("_token", token)
        answer = self._client.get(f"/databricks-air{path}")
        self.headers = answer.headers
        return answer.status_code, answer.text

    def task(self, task_id: str, user: str = "admin", dag_id: str = "") -> tuple[int, str]:
        """Return the page of a task."""
        # As Airflow's page asks for a task that is not mapped.
        key = {"run_id": _run_id(self._dag_id), "task_id": task_id, "map_index": "{MAP_INDEX}"}
        return self.get(f"/dags/{dag_id or self._dag_id}/task?{urlencode(key)}", user)


class Nobody:
    """Captures nothing."""

    out = err = ""

    def readouterr(self) -> Any:
        """Return what was printed: nothing is known."""
        return self


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """Start a local AI Runtime in which one run fails, one trains, one waits."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air")) as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", runtime.connection_uri)
        runtime.on("red").fails(exit_code=3, logs=TRACEBACK)
        runtime.on("live").hangs(logs=["epoch 4"], metrics={"loss": LOSSES, "accuracy": ["NaN"]}, node=1)
        waiting = "STATUS:Waiting for GPU compute capacity to become available."
        runtime.on("waiting").waits(status=waiting).succeeds()
        runtime.on("quiet").hangs()
        runtime.on("lost").hangs()
        yield runtime


@pytest.fixture(scope="module")
def dag_id(air: LocalAirRuntime, airflow_db: Path, airflow_home: Path) -> str:
    """Run a Dag with a task for each of them."""
    outcome = DagRunner(airflow_home / "dags", Nobody()).run(TASKS)
    assert outcome.states == {
        "red": "failed",
        **dict.fromkeys(("live", "waiting", "quiet", "lost"), "success"),
    }
    with closing(SyncClient(TokenCredentials(air.url, air.token))) as client:
        gone = {"dag_id": outcome.dag_id, "run_id": "deleted", "task_id": "gone", "map_index": 2}
        note = {"airflow": airflow_instance(), **gone, "on_kill": "cancel", "waits": True}
        launch(client, load_run_config(ORPHAN), token="b" * 64, owner=note)
    return outcome.dag_id


@pytest.fixture(scope="module")
def visitor(air: LocalAirRuntime, dag_id: str) -> Iterator[Visitor]:
    """Serve Airflow's API in this process, with permissions by Dag."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from starlette.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.story.sign_in.auth_by_dag.AuthByDag")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin,stranger:viewer")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a-secret-for-tests-" * 4)
        patch.setattr("airflow.providers.databricks_air.plugin.fleet.YOUNG", 0)
        purge_cached_app()
        with TestClient(create_app("core"), base_url="http://127.0.0.1") as client:
            yield Visitor(client, dag_id)
        purge_cached_app()


def test_a_run_that_failed(air: LocalAirRuntime, visitor: Visitor) -> None:
    """The page of a red task begins with the reason, and has attempts, lines and links; what a run says is escaped."""
    status, text = visitor.task("red")
    assert status == 200
    assert text.index("the loss is &lt;nan&gt;") < text.index("Attempts") < text.index("Last lines")
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold" not in text
    assert f"{air.url}/jobs/runs/" in text
    assert "<main data-alive" not in text
    policy = visitor.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy


def test_a_run_that_trains(air: LocalAirRuntime, visitor: Visitor) -> None:
    """The page of a run that goes on has its metrics as plots, the last lines of each node, and no token."""
    _, text = visitor.task("live")
    assert "<main data-alive" in text
    assert text.count("<polyline") == 1
    assert "<b>loss</b>" in text
    assert "1.25" in text
    assert text.index("Node 0") < text.index("Node 1") < text.index("epoch 4")
    assert "16x H100" in text
    assert air.token not in text


def test_a_run_that_waits(visitor: Visitor) -> None:
    """The page of a run that waits for accelerators says so, in the words of the service."""
    _, text = visitor.task("waiting")
    assert "PENDING" in text
    assert "Waiting for accelerator capacity to become available..." in text


def test_who_may_not_read_the_dag_sees_nothing(air: LocalAirRuntime, visitor: Visitor, dag_id: str) -> None:
    """Without a login, or without permission for the Dag, nobody sees a run of it, and the workspace is not asked."""
    air.clear_requests()
    assert visitor.task("live", user="")[0] == 401
    for answer in (visitor.task("live", user="stranger"), visitor.task("live", user="stranger", dag_id="~")):
        assert answer[0] == 403
        assert "live" not in _main(answer[1])
    assert visitor.task("live", dag_id="~")[0] == 404
    assert visitor.task("unknown")[0] == 404
    assert air.requests() == []
    assert dag_id in visitor.get("/fleet")[1]
    status, text = visitor.get("/fleet", user="stranger", role="viewer")
    assert (status, dag_id in text) == (200, False)


def test_who_may_not_read_logs_sees_no_lines(visitor: Visitor) -> None:
    """Airflow's permission for the logs of a Dag is asked for, too."""
    status, text = visitor.task("live", user="short_sighted")
    assert (status, "epoch 4" in text, "<b>loss</b>" in text) == (200, False, True)


def test_the_fleet(visitor: Visitor, dag_id: str) -> None:
    """The page of the fleet has what runs, what waits and what it costs; a run that has ended is not there."""
    _, text = visitor.get("/fleet")
    main = _main(text)
    assert main.index("Running") < main.index(f"{dag_id}.live") < main.index("Waiting for capacity")
    assert main.index("Waiting for capacity") < main.index(f"{dag_id}.waiting") < main.index("What it costs")
    assert f"{dag_id}.red" not in main
    # live has 16 accelerators, quiet, lost and the orphan have one each, and waiting waits for one.
    assert "<tr><th>All<td class=n>19<td class=n>1<td" in main


def test_what_nobody_follows(visitor: Visitor, dag_id: str) -> None:
    """A run whose task is gone stands apart; one that was let go on purpose does not."""
    main = _main(visitor.get("/fleet")[1])
    lost = main[main.index("Nobody follows") : main.index("Running")]
    assert f"{dag_id}.gone[2]" in lost
    assert "the task is gone" in lost
    assert f"{dag_id}.lost" not in lost


def test_many_readers_cost_the_workspace_one_look(air: LocalAirRuntime, visitor: Visitor) -> None:
    """Ten people who open a page at about the same time cost as many requests as one, and these are few."""
    air.clear_requests()
    for _ in range(10):
        assert visitor.task("quiet")[0] == 200
    asked = Counter(request.path for request in air.requests())
    assert max(asked.values()) == 1, asked
    assert sum(asked.values()) <= 5, asked


def test_a_workspace_that_does_not_answer(air: LocalAirRuntime, visitor: Visitor) -> None:
    """The page says what is wrong and leads to the run's own page; nothing of the credentials is in it."""
    air.add_fault("/api/2.2/jobs/runs/get", status=403, times=20)
    status, text = visitor.task("lost")
    assert status == 200
    assert "did not tell" in text
    assert f"{air.url}/jobs/runs/" in text
    assert air.token not in text


def test_the_pages_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``[databricks_air] page = False`` Airflow has neither the pages nor places for them."""
    from airflow.providers.databricks_air.plugin.air import AirPlugin

    assert [view["destination"] for view in AirPlugin().external_views] == ["task_instance", "nav"]
    monkeypatch.setenv("AIRFLOW__DATABRICKS_AIR__PAGE", "False")
    assert (AirPlugin().external_views, AirPlugin().fastapi_apps) == ([], [])


def _main(text: str) -> str:
    return text.partition("<main>")[2].partition("</main>")[0] or text.partition("<main data-alive>")[2]


def _run_id(dag_id: str) -> str:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return str(session.scalar(select(DagRun.run_id).where(DagRun.dag_id == dag_id)))
