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
"""The hook as Python code uses it: from a thread, and from an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.errors import RunNotFoundError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.run import ConfigError, load_run_config
from databricks_air_local import LocalAirRuntime
from tests.story.airflow_cluster import wait_for

Ask = Callable[..., Any]
TRAIN = """
experiment_name: hook
compute: {accelerator_type: GPU_8xH100, num_accelerators: 16}
max_retries: 1
command: |
    echo "node $NODE_RANK of try ${RETRY:-x}: lr=$(grep -o '"lr": [0-9.]*' "$HYPERPARAMETERS_PATH" || true)"
    [ "$NODE_RANK" != 1 ] || [ -e marker ] || { touch marker; exit 1; }
parameters: {lr: 0.5}
"""
QUICK = {
    "experiment_name": "hook",
    "compute": {"accelerator_type": "GPU_1xA10", "num_accelerators": 1},
    "max_retries": 0,
    "command": "echo hello; echo bye",
}


@pytest.fixture(params=["thread", "loop"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return what calls a method of a hook by its name, as it is or with the ``a`` before it."""
    hook = AirRuntimeHook()

    def from_a_thread(name: str, *args: Any, **options: Any) -> Any:
        return getattr(hook, name)(*args, **options)

    def from_a_loop(name: str, *args: Any, **options: Any) -> Any:
        return asyncio.run(getattr(hook, f"a{name}")(*args, **options))

    return from_a_thread if request.param == "thread" else from_a_loop


def ended(ask: Ask, run_id: int) -> Any:
    """Wait for the end of a run and return it."""
    return wait_for(lambda: (run := ask("get_run", run_id)).is_terminal and run, "the end of the run")


def test_a_run_from_its_submission_to_its_log(air: LocalAirRuntime, ask: Ask) -> None:
    """A mapping is submitted, seen, and read: its output is what the operator returns, its log the last lines."""
    run_id = ask("submit", QUICK, overrides={"compute.num_accelerators": 2})
    assert ended(ask, run_id).is_success
    output = ask("output", run_id)
    assert (output["run_id"], output["state"], output["num_accelerators"]) == (run_id, "SUCCESS", 2)
    assert output["mlflow_run_id"]
    wait_for(lambda: ask("logs", run_id)[-2:] == ["hello", "bye"], "the log")
    assert ask("logs", run_id, lines=1) == ["bye"]
    assert ask("describe", run_id)["run_id"] == str(run_id)


def test_every_form_of_a_configuration(air: LocalAirRuntime, ask: Ask, tmp_path: Path) -> None:
    """A path, YAML text, a mapping and a ``RunConfig`` are one and the same run, with one token."""
    path = tmp_path / "train.yaml"
    path.write_text(str(QUICK))
    forms = (path, str(QUICK), QUICK, load_run_config(QUICK))
    runs = {ask("submit", form, idempotency_token="together", base_dir=tmp_path) for form in forms}
    assert len(runs) == 1
    assert len({ask("submit", QUICK), ask("submit", QUICK)} | runs) == 3


def test_a_wrong_configuration_is_not_submitted(air: LocalAirRuntime, ask: Ask) -> None:
    """Every mistake is said at once, and nothing is there afterwards."""
    with pytest.raises(ConfigError, match="(?s)num_accelerators: is required.*experimentname: unknown"):
        ask("submit", {**QUICK, "experimentname": "x", "compute": {"accelerator_type": "GPU_8xH100"}})
    with pytest.raises(TypeError, match="token"):
        ask("submit", QUICK, token="x")
    assert air.runs() == []


def test_logs_of_a_node_and_of_an_attempt(air: LocalAirRuntime, ask: Ask, tmp_path: Path) -> None:
    """Each node of each attempt has its own lines; an attempt that is not there is said."""
    run_id = ask("submit", TRAIN.replace("marker", str(tmp_path / "marker")))
    run = ended(ask, run_id)
    assert len(run.attempts) == 2
    wait_for(lambda: "node 1 of" in "".join(ask("logs", run_id, node=1)), "the log of the second node")
    assert "node 0 of" in "".join(ask("logs", run_id, attempt=1))
    assert "node 1 of" not in "".join(ask("logs", run_id, attempt=1))
    with pytest.raises(ValueError, match=f"run {run_id} has no attempt 3, only 2"):
        ask("logs", run_id, attempt=3)


def test_cancel(air: LocalAirRuntime, ask: Ask) -> None:
    """A run that is alive is cancelled; a second time changes nothing; a run that was never there is said."""
    run_id = ask("submit", {**QUICK, "command": "sleep 600"})
    ask("cancel_run", run_id)
    assert ended(ask, run_id).state.result == "CANCELED"
    ask("cancel_run", run_id)
    assert ask("output", run_id)["state"] == "CANCELED"
    for name in ("get_run", "output", "logs", "describe"):
        with pytest.raises(RunNotFoundError):
            ask(name, 404)


def test_the_connection_can_be_tested(air: LocalAirRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Test button says who we are and what we see; with another token, that it is refused."""
    is_good, message = AirRuntimeHook().test_connection()
    assert is_good, message
    assert f"Connected to {air.url}" in message
    connection = f'{{"conn_type": "databricks_air", "host": "{air.url}", "password": "wrong"}}'
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT", connection)
    is_good, message = AirRuntimeHook().test_connection()
    assert not is_good
    assert "403" in message or "401" in message or "token" in message


def test_both_ways_take_the_same() -> None:
    """Each method for event loops has the parameters of the one for threads."""
    for name, method in inspect.getmembers(AirRuntimeHook, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            twin = getattr(AirRuntimeHook, name.removeprefix("a"))
            assert inspect.signature(method).parameters == inspect.signature(twin).parameters, name
