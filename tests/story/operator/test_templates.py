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
"""What templates become, what Airflow shows of them, and how arguments are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow.providers.databricks_air.operators.air import AirRunOperator
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
GIVEN = f"""
from airflow.providers.common.compat.sdk import task
TRAIN = {TRAIN!r}
PARAMS = {{"lr": 0.5, "text": "1e3", "layers": [1, 2], "none": None}}
"""


OVERRIDES = {
    "mapping": ({"parameters.lr": "{{ params.lr }}"}, "lr: 0.5|"),
    "nested": (
        {"parameters.lr": "{{ params.lr * 2 }}", "parameters.new": {"deep": ["{{ params.layers }}"]}},
        "lr: 1.0|",
    ),
    "list": (["parameters.lr={{ params.lr }}"], "lr: 0.5|"),
    "text": ({"parameters.lr": "{{ params.text }}"}, 'lr: "1e3"|'),
    "two": ({"parameters.lr": "{{ params.lr }} and {{ params.lr }}"}, "lr: 0.5 and 0.5|"),
    "none": ({"parameters.lr": "{{ params.none }}"}, "lr: null|"),
}


def test_one_expression_keeps_its_type(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A text that is one expression becomes its value, wherever it stands; any other text stays text."""
    tasks = [
        f"AirRunOperator(task_id={name!r}, config=TRAIN.replace('lr:', 'case: {name}, lr:'),"
        f" overrides={overrides!r}, params=PARAMS, polling_interval=0.3)\n"
        for name, (overrides, _) in OVERRIDES.items()
    ]
    outcome = run_dag(GIVEN + "".join(tasks))
    assert set(outcome.states.values()) == {"success"}, outcome.text
    for name, (_, printed) in OVERRIDES.items():
        # Airflow 2 prints each line of a task for each of its handlers.
        lines = [line for line in outcome.text.splitlines() if f"case: {name}|" in line]
        assert lines, outcome.text
        assert [line for line in lines if printed not in line] == []


SHOWN = """
def show(context): print("SHOWN", repr(context["task"].effective_config))
AirRunOperator(task_id='train', config_path='train.yaml', overrides={"parameters.lr": "{{ 1 + 1 }}"},
    on_execute_callback=show, polling_interval=0.3)
"""


def test_effective_configuration_is_a_rendered_field(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """What a file and its overrides come to is a template field of the task when it begins, credentials left out."""
    secret = "hf_" + "x" * 34
    outcome = run_dag(SHOWN, train=TRAIN + f"env_variables: {{HUB: {secret}}}")
    assert outcome.states["train"] == "success", outcome.text
    (shown,) = [line for line in outcome.text.splitlines() if line.startswith("SHOWN")]
    assert "experiment_name: story" in shown
    assert "lr: 2" in shown
    assert "HUB: '***'" in shown or 'HUB: "***"' in shown or "HUB: ***" in shown
    assert secret not in shown
    assert "effective_config" in AirRunOperator.template_fields


def test_a_broken_file_is_shown_as_its_mistake(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """What cannot be read is said where the configuration would stand, and fails the task in its own place."""
    outcome = run_dag(SHOWN, train=TRAIN.replace("experiment_name", "experimentname"))
    assert outcome.states["train"] == "failed"
    (shown,) = [line for line in outcome.text.splitlines() if line.startswith("SHOWN")]
    assert "# " in shown
    assert "experimentname" in shown


def test_durations_take_timedelta(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A length of time is a number of seconds or a timedelta, as everywhere in Airflow."""
    outcome = run_dag(
        "AirRunOperator(task_id='train', config_path='train.yaml', queue_timeout=timedelta(minutes=5),"
        " polling_interval=timedelta(seconds=0.3), log_metrics_interval=timedelta(seconds=9))",
        train=TRAIN,
    )
    assert outcome.states["train"] == "success", outcome.text


@pytest.mark.parametrize("value", ["soon", -1, 0, True, timedelta(0), float("nan")])
@pytest.mark.parametrize("name", ["polling_interval", "queue_timeout", "log_metrics_interval"])
def test_a_wrong_duration_names_task_and_rule(name: str, value: Any) -> None:
    """What is no length of time is refused when the Dag is parsed, with the task's id."""
    with pytest.raises(ValueError, match=f"task 'train': {name}: .* is neither a positive number"):
        AirRunOperator(task_id="train", config_path="train.yaml", **{name: value})


def test_a_rendered_duration_is_checked_when_the_task_runs(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A template for a duration is rendered, and what it comes to must be one."""
    task = "AirRunOperator(task_id=%r, config=TRAIN, params=PARAMS, polling_interval=0.3, queue_timeout=%r)\n"
    outcome = run_dag(
        GIVEN + task % ("train", "{{ params.lr * 100 }}") + task % ("wrong", "{{ params.layers }}")
    )
    assert outcome.states == {"train": "success", "wrong": "failed"}, outcome.text
    assert "queue_timeout: [1, 2] is neither a positive number of seconds nor a timedelta" in outcome.text


def test_execution_timeout_on_the_worker_names_the_run(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """When ``execution_timeout`` passes on the worker, the error says so, with the run and its page."""
    outcome = run_dag(
        "AirRunOperator(task_id='train', config_path='train.yaml', polling_interval=0.3,"
        " execution_timeout=timedelta(seconds=6))",
        train=TRAIN.replace("tr '", "sleep 600; tr '"),
    )
    assert outcome.states["train"] == "failed"
    (run,) = air.runs()
    assert "execution_timeout of 0:00:06 has passed" in outcome.text
    assert f"/jobs/runs/{run['run_id']}" in outcome.text
    assert "Timeout, PID" not in outcome.text.rpartition("execution_timeout of")[2]
