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
"""The sensor: three modes that come to the same, patience, and a timeout that says what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import wait_for
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
CONFIG: dict[str, Any] = {
    "experiment_name": "somebody",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "max_retries": 0,
    "command": "sleep 2",
}
MODES = {"poke": "mode='poke'", "reschedule": "mode='reschedule'", "deferred": "deferrable=True"}
each_mode = pytest.mark.parametrize("mode", MODES)


def sensor(name: str, run_id: int, mode: str, more: str = "") -> str:
    """Return a sensor of a Dag file."""
    return f"AirRunSensor(task_id={name!r}, run_id={run_id}, poke_interval=0.5, {MODES[mode]}{more})\n"


def test_each_mode_returns_what_the_operator_returns(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A sensor that waits, one that comes back and one that is deferred return the same, with the same links."""
    run_id = AirRuntimeHook().submit(CONFIG)
    outcome = run_dag("".join(sensor(mode, run_id, mode) for mode in MODES))
    assert set(outcome.states.values()) == {"success"}, outcome.text
    result = AirRuntimeHook().output(run_id)
    assert result["state"] == "SUCCESS"
    assert outcome.xcoms == dict.fromkeys(MODES, result)


@each_mode
def test_a_run_without_success_fails_the_sensor(air: LocalAirRuntime, run_dag: RunDag, mode: str) -> None:
    """The reason of the run is the reason of the task."""
    run_id = AirRuntimeHook().submit(
        {**CONFIG, "command": "echo 'ValueError: no such shard' >&2; sleep 1; exit 3"}
    )
    outcome = run_dag(sensor("wait", run_id, mode))
    assert outcome.states == {"wait": "failed"}, outcome.text
    assert f"/jobs/runs/{run_id}" in outcome.text
    assert "exit code 3" in outcome.text


@each_mode
@pytest.mark.parametrize("soft_fail", [False, True])
def test_the_timeout_says_what_was_seen(
    air: LocalAirRuntime, run_dag: RunDag, mode: str, soft_fail: bool
) -> None:
    """When the time is up the task says of the run what it saw last, and leaves it alone."""
    run_id = AirRuntimeHook().submit({**CONFIG, "command": "sleep 600"})
    wait_for(lambda: AirRuntimeHook().get_run(run_id).phase == "RUNNING", "the run to run")
    outcome = run_dag(sensor("wait", run_id, mode, f", timeout=2, soft_fail={soft_fail}"))
    assert outcome.states == {"wait": "skipped" if soft_fail else "failed"}, outcome.text
    if not soft_fail:
        assert f"Run {run_id} has not ended after 2 s: it was RUNNING when it was seen last" in outcome.text
        assert f"/jobs/runs/{run_id}" in outcome.text.partition("when it was seen last")[2]
    assert air.runs_alive == [run_id]


@pytest.mark.long
@each_mode
@pytest.mark.parametrize(("status", "code"), [(403, "PERMISSION_DENIED"), (404, "RESOURCE_DOES_NOT_EXIST")])
def test_a_refusal_that_passes_is_no_outcome(
    air: LocalAirRuntime, run_dag: RunDag, mode: str, status: int, code: str
) -> None:
    """Four refusals in a row, about 15 seconds, are less than what the sensor believes."""
    run_id = AirRuntimeHook().submit(CONFIG)
    wait_for(lambda: AirRuntimeHook().get_run(run_id).is_terminal, "the end of the run")
    air.add_fault("*/jobs/runs/get", times=4, status=status, error_code=code, message="not now")
    outcome = run_dag(sensor("wait", run_id, mode))
    assert outcome.states == {"wait": "success"}, outcome.text
    assert "not now" in outcome.text


def test_what_is_no_run_id_is_said(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """A template that comes to no id fails the task with the value and the rule, before anything is asked."""
    outcome = run_dag("AirRunSensor(task_id='wait', run_id='{{ dag.dag_id }}')")
    assert outcome.states == {"wait": "failed"}
    assert "is not the id of a run, which is a positive whole number" in outcome.text
