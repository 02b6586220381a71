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
"""How a Dag hands the run configuration over: files, mappings, text, templates, XComs and mapped tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
TRAIN = """
experiment_name: story
compute: {accelerator_type: GPU_1xA10, num_accelerators: 1}
max_retries: 0
command: tr '\\n' '|' <"$HYPERPARAMETERS_PATH"; echo
parameters: {lr: 1}
"""
GIVEN = """
from airflow.providers.common.compat.sdk import task
TRAIN = {
    "experiment_name": "story",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "max_retries": 0,
    "command": "tr '\\\\n' '|' <\\"$HYPERPARAMETERS_PATH\\"; echo",
}
"""


def test_mapping_keeps_the_types_of_an_xcom(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """An XCom deep in a mapping arrives with its types; a template beside it is rendered."""
    outcome = run_dag(
        GIVEN
        + """
@task
def tune(): return {"lr": 0.1, "layers": [1, 2], "amp": True}
config = {**TRAIN, "parameters": {"tuned": tune(), "dag": "{{ dag.dag_id[:5] }}"}}
AirRunOperator(task_id="train", config=config, polling_interval=0.3)
"""
    )
    assert outcome.states["train"] == "success", outcome.text
    assert "dag: story|tuned:|    amp: true|    layers:|        - 1|        - 2|    lr: 0.1|" in outcome.text


def test_text_and_overrides_are_rendered(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """Templates in YAML text and in overrides are rendered before they are read."""
    outcome = run_dag(
        GIVEN
        + f"""
text = {TRAIN + "mlflow_run_name: '{{ dag.dag_id }}'"!r}
AirRunOperator(task_id="train", config=text, overrides=["parameters.lr={{{{ 1 + 1 }}}}"], polling_interval=0.3)
"""
    )
    assert outcome.states["train"] == "success", outcome.text
    assert "lr: 2|" in outcome.text
    (run,) = air.runs()
    assert run["body"]["tasks"][0]["ai_runtime_task"]["mlflow_run"].startswith("story_")


def uploaded(air: LocalAirRuntime, path: str) -> str:
    """Return the text of an uploaded file."""
    answer = requests.get(
        f"{air.url}/api/2.0/workspace/export",
        params={"path": path, "direct_download": "true"},
        headers={"Authorization": f"Bearer {air.token}"},
        timeout=30,
    )
    answer.raise_for_status()
    return answer.text


CONTAINERS = """
CONFIG = {
    "experiment_name": "story",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "max_retries": 0,
    "containers": [{
        "name": "one", "ranks": [0], "unity_catalog_image": "main.ml.image:1", "command": "echo {{ dag.dag_id }}",
        "environment_variables": {"variables": {"TOKEN": "{{secrets/research/hf_token}}"}},
    }],
}
"""


@pytest.mark.parametrize("config", ["CONFIG", "RunConfig(**CONFIG)", "RunConfig(**CONFIG).to_yaml()"])
def test_references_to_secrets_are_no_templates(air: LocalAirRuntime, run_dag: RunDag, config: str) -> None:
    """``{{secrets/scope/key}}`` reaches the platform; a template beside it is rendered, in a ``RunConfig`` too."""
    air.declare(images=["main.ml.image:1"])
    air.on("story").succeeds()
    outcome = run_dag(
        "from airflow.providers.databricks_air.run import RunConfig\n"
        + CONTAINERS
        + f"AirRunOperator(task_id='train', config={config}, polling_interval=0.3)"
    )
    assert outcome.states == {"train": "success"}, outcome.text
    (run,) = air.runs()
    container = run["body"]["tasks"][0]["ai_runtime_task"]["deployments"][0]["containers"][0]
    directory = container["command_path"].rpartition("/")[0]
    assert uploaded(air, f"{directory}/command.sh").startswith("echo story_")
    assert uploaded(air, f"{directory}/secret_env_vars.json") == (
        '[{"name":"TOKEN","secret_scope":"research","secret_key":"hf_token"}]'
    )


def test_path_is_rendered_and_stays_a_path(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """The path is a template; Airflow does not put the text of the file, with its own braces, in its place."""
    outcome = run_dag(
        "AirRunOperator(task_id='train', config_path='{{ \"train\" }}.yaml', polling_interval=0.3)",
        train=TRAIN.replace("lr: 1", "braces: '{{ no template }}'"),
    )
    assert outcome.states["train"] == "success", outcome.text
    assert "braces: " in outcome.text
    assert "{{ no template }}" in outcome.text


@pytest.mark.parametrize(
    "mapped",
    [
        "AirRunOperator.partial(task_id='train', config_path='train.yaml', polling_interval=0.3)"
        ".expand(overrides=[{'parameters.lr': 0.5}, {'parameters.lr': 7}])",
        "AirRunOperator.partial(task_id='train', polling_interval=0.3)"
        ".expand(config=[{**TRAIN, 'parameters': {'lr': lr}} for lr in (0.5, 7)])",
        "AirRunOperator.partial(task_id='train', config_path='train.yaml', polling_interval=0.3)"
        ".expand(overrides=grid())",
        "AirRunOperator.partial(task_id='train', config={**TRAIN, 'parameters': {'lr': 0}}, polling_interval=0.3)"
        ".expand(overrides=grid())",
    ],
    ids=["overrides", "configs", "xcom", "mapping"],
)
def test_mapped_tasks_have_runs_of_their_own(air: LocalAirRuntime, run_dag: RunDag, mapped: str) -> None:
    """Under ``expand`` each mapped task submits one run with what it was given, types kept."""
    grid = """
@task
def grid(): return [{"parameters.lr": 0.5}, {"parameters.lr": 7}]
"""
    outcome = run_dag(GIVEN + (grid if "grid" in mapped else "") + mapped, train=TRAIN)
    assert set(outcome.states.values()) == {"success"}, outcome.text
    assert len(air.runs()) == 2
    assert "lr: 0.5|" in outcome.text
    assert "lr: 7|" in outcome.text


@pytest.mark.parametrize(
    ("arguments", "given"), [("", "neither"), ("config_path='a.yaml', config={}", "both")]
)
def test_exactly_one_source(air: LocalAirRuntime, run_dag: RunDag, arguments: str, given: str) -> None:
    """A task with both sources, or with none, fails without a run and says so."""
    outcome = run_dag(f"AirRunOperator(task_id='train', {arguments})")
    assert outcome.states == {"train": "failed"}
    assert f"config_path, config: {given} of them given. Give exactly one" in outcome.text
    assert air.runs() == []
