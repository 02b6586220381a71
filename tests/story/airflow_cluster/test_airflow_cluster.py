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
"""The harness itself, with Dags that know nothing of this package."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.story.airflow_cluster import (
    FINISHED,
    AirflowCluster,
    Settings,
    TaskKey,
    task_process,
    wait_for,
)

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]

DAG = """
import time, datetime
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow.triggers.temporal import TimeDeltaTrigger


class Napping(BaseOperator):
    def __init__(self, *, seconds, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context):
        self.log.info("napping in try %s", context["ti"].try_number)
        time.sleep(self.seconds if context["ti"].try_number == 1 else 0)
        return {"slept": self.seconds}


class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(datetime.timedelta(seconds=20)), method_name="resume")

    def resume(self, context, event=None):
        return "resumed"


with DAG("plain", schedule=None, catchup=False) as dag:
    retrying = {"retries": 1, "retry_delay": datetime.timedelta(seconds=1)}
    Napping(task_id="short", seconds=0)
    Napping(task_id="long", seconds=600, **retrying)
    Deferring(task_id="deferring")
    Napping.partial(task_id="mapped").expand(seconds=[0, 0])
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowCluster]:
    """An Airflow with the Dag above."""
    cluster = AirflowCluster(Settings(tmp_path_factory.mktemp("plain") / "airflow"))
    with cluster:
        cluster.add_dag("plain", DAG)
        cluster.client.wait_dag("plain")
        yield cluster


def test_a_killed_task_runs_again(airflow: AirflowCluster) -> None:
    """SIGKILL of the task process leads to a second try, whose log and XCom can be read."""
    airflow.client.trigger("plain", "killed")
    key = TaskKey("plain", "killed", "long")
    process = task_process(airflow.client, key)
    psutil.Process(process.pid).kill()
    view = airflow.client.wait_task(key, FINISHED)
    assert (view.state, view.try_number) == ("success", 2)
    assert airflow.client.xcom(key) == {"slept": 600}
    assert "napping in try 2" in airflow.client.log(key, 2)


def test_all_tasks_of_a_run_can_be_asked_for(airflow: AirflowCluster) -> None:
    """A short, a mapped and a deferred task end well, the last after its triggerer was killed."""
    airflow.client.trigger("plain", "whole")
    deferring = TaskKey("plain", "whole", "deferring")
    airflow.client.wait_task(deferring, {"deferred"})
    airflow.triggerers[0].kill()
    airflow.triggerers[1].start()
    assert airflow.client.wait_task(TaskKey("plain", "whole", "short"), FINISHED).state == "success"
    assert airflow.client.wait_task(TaskKey("plain", "whole", "mapped", 1), FINISHED).state == "success"
    assert airflow.client.xcom(TaskKey("plain", "whole", "mapped", 1)) == {"slept": 0}
    assert airflow.client.wait_task(deferring, FINISHED).state == "success"
    assert airflow.client.xcom(deferring) == "resumed"
    airflow.client.mark(TaskKey("plain", "whole", "long"), "failed")
    wait_for(lambda: airflow.client.run_state("plain", "whole") == "failed", "the Dag run to fail")


def test_a_user_can_clear_and_delete(airflow: AirflowCluster) -> None:
    """A cleared task gets a further try; a deleted Dag run can be created again under its name."""
    airflow.client.trigger("plain", "cleared")
    key = TaskKey("plain", "cleared", "short")
    assert airflow.client.wait_task(key, FINISHED).try_number == 1
    airflow.client.clear(key)
    wait_for(lambda: airflow.client.task(key).try_number == 2, "a second try")
    assert airflow.client.wait_task(key, FINISHED).state == "success"
    airflow.client.mark_run("plain", "cleared", "failed")
    airflow.client.delete_run("plain", "cleared")
    airflow.client.trigger("plain", "cleared")
    assert airflow.client.wait_task(key, FINISHED).try_number == 1


def test_the_api_server_can_be_away(airflow: AirflowCluster) -> None:
    """The API answers again after its server was stopped and started."""
    airflow.api.stop()
    assert not airflow.api.is_running
    airflow.start_api()
    airflow.client.trigger("plain", "after-outage")
    assert airflow.client.run_state("plain", "after-outage")


def test_nothing_is_left_of_a_cluster(tmp_path: Path) -> None:
    """After a stop no process lives and nothing listens on the cluster's ports."""
    cluster = AirflowCluster(Settings(tmp_path / "airflow", parallelism=2))
    with cluster:
        family = [p for c in [cluster.scheduler, cluster.api, *cluster.triggerers] for p in c.family()]
        cluster.triggerers[0].signal_all(signal.SIGSTOP)
        assert len(family) > 5
    assert cluster.leftovers == []
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    used = {c.laddr[1] for c in psutil.net_connections("tcp") if c.laddr and c.status == psutil.CONN_LISTEN}
    assert not used & {cluster.ports.api, cluster.ports.task_logs, *cluster.ports.trigger_logs}
