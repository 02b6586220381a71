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
"""What people see of a training in Airflow's own pages and in ours: a real Airflow, and a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.run import load_run_config
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import AIRFLOW_3, AirflowCluster, Settings, TaskKey, wait_for
from tests.story.browser import keep_picture, page, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

__all__ = ["page"]

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(900)]
newest = pytest.mark.skipif(not AIRFLOW_3, reason="the pages of Airflow 3")
oldest = pytest.mark.skipif(AIRFLOW_3, reason="the pages of Airflow 2")

EXAMPLE = Path(__file__).parents[2] / "docs/examples/watched.py"
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirRunOperator


def config(name, accelerator_type, num_accelerators):
    return {
        "experiment_name": name,
        "compute": {"accelerator_type": accelerator_type, "num_accelerators": num_accelerators},
        "command": "python train.py",
        "parameters": {"lr": 0.1, "day": "{{ run_id }}"},
        "max_retries": 0,
    }


with DAG("training", schedule=None, catchup=False):
    sweep = AirRunOperator.partial(
        task_id="sweep", config=config("sweep", "GPU_1xH100", 1), polling_interval=1
    ).expand(overrides=[{"parameters.lr": lr} for lr in (0.1, 0.01, 0.001)])
    finetune = AirRunOperator(
        task_id="finetune", config=config("finetune", "GPU_8xH100", 16), deferrable=True, log_nodes="all", polling_interval=1
    )
    distill = AirRunOperator(task_id="distill", config=config("distill", "GPU_1xA10", 1), polling_interval=1)
    pretrain = AirRunOperator(
        task_id="pretrain", config=config("pretrain", "GPU_8xH100", 64), deferrable=True, polling_interval=1
    )
    sweep >> [finetune, distill, pretrain]
"""
EPOCHS = 12
LOSS = [2.3 * 0.8**step + 0.05 * (step % 3) for step in range(EPOCHS)]
LINES = [f"epoch {step + 1}/{EPOCHS}: loss={loss:.4f}" for step, loss in enumerate(LOSS)]
METRICS = {"loss": LOSS, "accuracy": [1 - 0.6 * 0.8**step for step in range(EPOCHS)]}
FAILURE = [
    *LINES[:3],
    "Traceback (most recent call last):",
    '  File "/databricks/train.py", line 41, in <module>',
    "    loss.backward()",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 22.06 GiB of which 1.20 GiB is free.",
]


@dataclass
class Site:
    """An Airflow in which a Dag trains, and the AI Runtime behind it."""

    airflow: AirflowCluster
    air: LocalAirRuntime

    def open(self, page: Page, task: str, tab: str = "") -> None:
        """Open a page of a task instance."""
        page.goto(f"{self.airflow.url}/dags/training/runs/first/tasks/{task}{tab}")

    def frame(self, page: Page) -> FrameLocator:
        """Return what our page has in Airflow's."""
        return page.frame_locator("iframe")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start both, and run the Dag: a sweep that succeeds, then a run that trains, one that fails and one that waits."""
    folder = tmp_path_factory.mktemp("browser")
    with LocalAirRuntime(folder / "air") as air:
        air.on("sweep").succeeds(after=2, logs=LINES, metrics=METRICS)
        air.on("finetune").hangs(logs=LINES, metrics=METRICS)
        air.on("distill").fails(after=1, logs=FAILURE, metrics=METRICS)
        air.on("pretrain").waits(
            status="STATUS:Waiting for GPU compute capacity to become available."
        ).succeeds()
        env = {"AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": air.connection_uri}
        with AirflowCluster(Settings(folder / "airflow", parallelism=4, env=env)) as airflow:
            airflow.add_dag("training", DAG)
            if AIRFLOW_3:
                airflow.add_dag("evaluate", EXAMPLE.read_text())
                airflow.client.wait_dag("evaluate")
            airflow.client.wait_dag("training")
            airflow.client.trigger("training", "first")
            airflow.client.wait_task(TaskKey("training", "first", "distill"), {"failed"}, timeout=400)
            wait_for(lambda: len(air.runs()) == 6, "all runs")
            yield Site(airflow, air)


@newest
def test_airflow_shows_the_sweep_its_links_and_its_log(site: Site, page: Page, tmp_path: Path) -> None:
    """The grid has the mapped sweep; a task has links, its rendered configuration, its result and its live log."""
    sign_in(page, site.airflow.url)
    page.goto(f"{site.airflow.url}/dags/training")
    page.get_by_text("sweep").first.wait_for()
    page.get_by_text("finetune").first.wait_for()
    keep_picture(page, tmp_path, "airflow-grid")

    site.open(page, "finetune")
    page.get_by_text(LINES[-1]).first.wait_for()
    keep_picture(page, tmp_path, "airflow-log")

    site.open(page, "finetune", "/details")
    # The task is deferred: what is there of MLflow, the triggerer has put there.
    assert (_link(page) or "").startswith(f"{site.air.url}/jobs/runs/")
    assert "/runs/" in (_link(page, "MLflow run") or "")
    assert (_link(page, "MLflow experiment") or "").startswith(f"{site.air.url}/ml/experiments/")
    keep_picture(page, tmp_path, "airflow-links")

    site.open(page, "finetune", "/rendered_templates")
    page.get_by_text("experiment_name").first.wait_for()
    assert page.get_by_text("first").first.is_visible()
    keep_picture(page, tmp_path, "airflow-rendered")

    site.open(page, "sweep/mapped/0", "/xcom")
    page.get_by_text("return_value").first.wait_for()
    page.get_by_text("mlflow_run_id").first.wait_for()
    keep_picture(page, tmp_path, "airflow-xcom")


@newest
def test_our_page_on_a_task(site: Site, page: Page, tmp_path: Path) -> None:
    """The tab of a task shows a run that trains, fails, waits and has succeeded; its links open a window."""
    sign_in(page, site.airflow.url)
    shown = site.frame(page)

    site.open(page, "finetune", "/plugin/ai-runtime")
    shown.get_by_text("RUNNING").first.wait_for()
    assert shown.locator("polyline").count() == 2
    shown.get_by_text(LINES[-1]).first.wait_for()
    assert shown.locator("details").count() == 2
    keep_picture(page, tmp_path, "page-running")
    with page.expect_popup() as opened:
        shown.get_by_role("link", name="Run 1").click()
    assert opened.value.url.startswith(site.air.url)

    site.open(page, "distill", "/plugin/ai-runtime")
    shown.locator("pre.bad").get_by_text("CUDA out of memory").wait_for()
    keep_picture(page, tmp_path, "page-failed")

    site.open(page, "pretrain", "/plugin/ai-runtime")
    shown.get_by_text("Waiting for accelerator capacity to become available...").wait_for()
    keep_picture(page, tmp_path, "page-waiting")

    site.open(page, "sweep/mapped/1", "/plugin/ai-runtime")
    shown.get_by_text("SUCCESS").first.wait_for()
    keep_picture(page, tmp_path, "page-succeeded")


@newest
def test_our_page_over_the_fleet(site: Site, page: Page, tmp_path: Path) -> None:
    """The page in the menu has what runs and what waits; its links lead to the task in Airflow itself."""
    sign_in(page, site.airflow.url)
    page.goto(f"{site.airflow.url}/plugin/ai-runtime-fleet")
    shown = site.frame(page)
    shown.get_by_text("What it costs").wait_for()
    keep_picture(page, tmp_path, "page-fleet")
    shown.get_by_role("link", name="training.finetune").click()
    page.wait_for_url("**/dags/training/runs/first/tasks/finetune**")


@newest
def test_our_page_has_the_colours_of_airflow(site: Site, page: Page, tmp_path: Path) -> None:
    """In Airflow's dark mode the tab is dark, too."""
    sign_in(page, site.airflow.url)
    page.evaluate("localStorage.setItem('theme', 'dark')")
    site.open(page, "distill", "/plugin/ai-runtime")
    shown = site.frame(page)
    shown.locator("pre.bad").wait_for()
    assert shown.locator("html").get_attribute("data-theme") == "dark"
    keep_picture(page, tmp_path, "page-dark")


@newest
def test_our_page_on_a_phone(site: Site, page: Page, tmp_path: Path) -> None:
    """Nothing is wider than a phone, and the page renews itself until its run has ended."""
    sign_in(page, site.airflow.url)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{site.airflow.url}/databricks-air/dags/training/task?run_id=first&task_id=finetune")
    page.get_by_text("RUNNING").first.wait_for()
    assert page.evaluate("document.body.scrollWidth") <= 390
    keep_picture(page, tmp_path, "page-phone")
    (run_id,) = [run["run_id"] for run in site.air.runs() if run["run_name"] == "finetune"]
    site.air.release(run_id)
    page.get_by_text("SUCCESS").first.wait_for(timeout=180_000)
    page.locator("main:not([data-alive])").wait_for()


@newest
def test_somebodys_run_feeds_an_asset(site: Site) -> None:
    """The Dag of the documentation runs when a run that nobody of Airflow has started succeeds."""
    site.air.on("nightly-*").succeeds(metrics={"loss": 0.5})
    config = load_run_config(
        "experiment_name: nightly-7b\nmax_retries: 0\ncommand: train\n"
        "compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    )
    client = SyncClient(TokenCredentials(site.air.url, site.air.token))
    run_id = launch(client, config, token="somebody")
    client.close()
    runs = wait_for(lambda: site.airflow.client.runs("evaluate"), "a run of the Dag", timeout=300)
    key = TaskKey("evaluate", runs[0], "evaluate")
    assert site.airflow.client.wait_task(key, {"success", "failed"}).state == "success"
    output = next(run for run in site.air.runs() if run["run_id"] == run_id)
    assert output["state"]["result_state"] == "SUCCESS"
    site.airflow.client.pause("evaluate")


@oldest
def test_airflow_2_shows_links_log_and_result(site: Site, page: Page, tmp_path: Path) -> None:
    """On Airflow 2 a task has its link, its live log and its result."""
    page.goto(f"{site.airflow.url}/login/")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill("admin")
    page.locator("input[type=submit]").click()
    grid = f"{site.airflow.url}/dags/training/grid?dag_run_id=first&task_id=finetune"
    page.goto(f"{grid}&tab=logs")
    page.get_by_text(LINES[-1]).first.wait_for()
    keep_picture(page, tmp_path, "airflow-2-log")
    page.goto(f"{grid}&tab=details")
    assert (_link(page) or "").startswith(f"{site.air.url}/jobs/runs/")
    keep_picture(page, tmp_path, "airflow-2-links")
    page.goto(f"{site.airflow.url}/dags/training/grid?dag_run_id=first&task_id=sweep&map_index=0&tab=xcom")
    page.get_by_text("return_value").first.wait_for()
    keep_picture(page, tmp_path, "airflow-2-xcom")
    run = page.request.get(f"{site.airflow.url}/api/v1/dags/training/dagRuns/first").json()
    rendered = (
        f"rendered-templates?dag_id=training&task_id=finetune&execution_date={quote(run['logical_date'])}"
    )
    answer = page.goto(f"{site.airflow.url}/{rendered}")
    assert answer is not None
    assert answer.status == 200
    page.get_by_text("experiment_name").first.wait_for()
    page.get_by_text("effective_config").first.wait_for()
    keep_picture(page, tmp_path, "airflow-2-rendered")


def _link(page: Page, name: str = "AI Runtime run") -> str | None:
    """Return where a link of Airflow leads."""
    link = page.locator("a", has_text=name).first
    link.wait_for()
    return link.get_attribute("href")
