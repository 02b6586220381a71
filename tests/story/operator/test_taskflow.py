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
"""``@task.air_run``: functions of a Dag run on nodes."""

from __future__ import annotations

from collections.abc import Callable

from databricks_air_local import LocalAirRuntime
from tests.story.dag_runner import Outcome

RunDag = Callable[..., Outcome]
BODY = """
from dataclasses import dataclass
from pathlib import Path
from airflow.providers.common.compat.sdk import task

@dataclass
class Data:
    where: Path
    rows: int

COMMON = dict(accelerator_type="GPU_1xA10", polling_interval=0.3, config={"max_retries": 0})

@task
def rates():
    return [0.5, 2]

@task.air_run(**COMMON)
def train(data, lr, steps=2):
    # a comment, and a {brace}
    import os
    print("training", data.where.name, "on", os.environ["NODE_RANK"])
    return {"loss": lr * steps, "rows": data.rows, "text": "ä\\n"}

@task.air_run(accelerator_type="GPU_8xH100", num_accelerators=16, deferrable=True, polling_interval=0.3,
    config={"max_retries": 0, "env_variables": {"WHO": "me"}}, overrides={"experiment_name": "two"})
def two_nodes():
    import os
    return [os.environ["NUM_NODES"], os.environ["WHO"]]

@task.air_run(**COMMON)
def fails():
    raise ValueError("no such thing")

@task.air_run(**COMMON)
def wrong():
    return {1, 2}

@task
def pick(results, nodes):
    print("PICKED", min(results, key=lambda each: each["loss"]), nodes)

pick(train.partial(data=Data(Path("/data/x"), 3)).expand(lr=rates()), two_nodes())
fails()
wrong()
"""


def test_functions_run_on_nodes(air: LocalAirRuntime, run_dag: RunDag) -> None:
    """Functions run with their arguments, mapped and deferred, and their results reach the next task."""
    outcome = run_dag(BODY)
    states = outcome.states
    assert states.pop("fails") == "failed"
    assert states.pop("wrong") == "failed"
    assert set(states.values()) == {"success"}, outcome.text
    assert "PICKED {'loss': 1.0, 'rows': 3, 'text': 'ä\\n'} ['2', 'me']" in outcome.text
    assert "training x on 0" in outcome.text
    assert "ValueError: no such thing" in outcome.text
    assert "the function's result cannot be returned: the result is no JSON" in outcome.text
    assert {run["body"]["run_name"] for run in air.runs()} == {"train", "two", "fails", "wrong"}
    assert len(air.runs()) == 5
