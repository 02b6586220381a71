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
"""The Dags of the trials: one file per slot, so that a task's process parses little."""

from __future__ import annotations

__all__ = ["INDICES", "SHAPES", "STOCK_COMMAND", "dag_id", "source", "stock_source"]

# What each shape adds to the operator; ``stock`` is the stock Databricks provider's operator.
SHAPES = (
    *("plain", "patient", "hasty", "once", "siblings", "timed", "brief", "file"),
    *("mapped", "detached", "adopting", "principal"),
)
INDICES = 5

STOCK_COMMAND = "/Workspace/Users/you@example.com/stock/command.sh"

_HEAD = """
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG, BaseOperator
"""

_SOURCE = """
from airflow.providers.databricks_air.operators.air import AirRunOperator


class Sibling(BaseOperator):
    def execute(self, context):
        return "done"


def config(experiment):
    return {{
        "experiment_name": experiment,
        "command": "true",
        "compute": {{"accelerator_type": "GPU_1xA10", "num_accelerators": 1}},
        "max_retries": 0,
        "code_source": {{"root_path": {code!r} + "/{{{{ run_id }}}}"}},
    }}


def train(cls=AirRunOperator, **kwargs):
    given = {{
        "task_id": "train",
        "config": config("{{{{ run_id }}}}"),
        "databricks_air_conn_id": {conn_id!r},
        "polling_interval": 1.0,
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
        **kwargs,
    }}
    return cls(**{{name: value for name, value in given.items() if value is not None}})


for mode in ("sync", "deferrable"):
    deferrable = mode == "deferrable"
    common = {{"schedule": None, "catchup": False}}
    with DAG(f"plain_{{mode}}_{slot}", **common):
        train(deferrable=deferrable)
    with DAG(f"patient_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, retry_delay=timedelta(seconds=90))
    with DAG(f"hasty_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, retries=1)
    with DAG(f"once_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, retries=0)
    with DAG(f"siblings_{{mode}}_{slot}", **common):
        train(deferrable=deferrable)
        Sibling(task_id="sibling")
    with DAG(f"timed_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, retries=0, execution_timeout=timedelta(seconds=40))
    with DAG(f"brief_{{mode}}_{slot}", dagrun_timeout=timedelta(seconds=25), **common):
        train(deferrable=deferrable)
    with DAG(f"file_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, config=None, config_path={code!r} + "/{{{{ run_id }}}}.yaml")
    with DAG(f"detached_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, on_kill="detach")
    with DAG(f"adopting_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, on_clear="adopt")
    with DAG(f"principal_{{mode}}_{slot}", **common):
        train(deferrable=deferrable, databricks_air_conn_id={conn_id!r} + "_principal")
    with DAG(f"mapped_{{mode}}_{slot}", **common):
        given = [config("{{{{ run_id }}}}-" + str(index)) for index in range({indices})]
        partial = train(AirRunOperator.partial, config=None, deferrable=deferrable)
        partial.expand(config=given)
"""

_STOCK = """
from airflow.providers.databricks.operators.databricks import DatabricksSubmitRunOperator

for mode in ("sync", "deferrable"):
    with DAG(f"stock_{{mode}}_{slot}", schedule=None, catchup=False):
        DatabricksSubmitRunOperator(
            task_id="train",
            databricks_conn_id={conn_id!r},
            json={{
                "run_name": "{{{{ run_id }}}}",
                "environments": [{{"environment_key": "default", "spec": {{"environment_version": "6"}}}}],
                "tasks": [{{
                    "task_key": "train",
                    "environment_key": "default",
                    "ai_runtime_task": {{
                        "experiment": "{{{{ run_id }}}}",
                        "deployments": [{{
                            "command_path": {command!r},
                            "compute": {{"accelerator_type": "GPU_1xA10", "accelerator_count": 1}},
                        }}],
                    }},
                }}],
            }},
            polling_period_seconds=1,
            databricks_retry_delay=1,
            deferrable=mode == "deferrable",
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
"""


def dag_id(shape: str, mode: str, slot: int) -> str:
    """Return the id of a slot's Dag."""
    return f"{shape}_{mode}_{slot}"


def source(slot: int, conn_id: str, code: str) -> str:
    """Return the Dag file of a slot.

    :param slot: its number.
    :param conn_id: the connection to the slot's own local AI Runtime; with ``_principal`` behind it, the one of a
        service principal.
    :param code: the directory in which each trial has its code, by the id of its Dag run.
    """
    return _HEAD + _SOURCE.format(slot=slot, conn_id=conn_id, code=code, indices=INDICES)


def stock_source(slot: int, conn_id: str) -> str:
    """Return the Dag file of a slot with the stock provider's operator."""
    return _HEAD + _STOCK.format(slot=slot, conn_id=conn_id, command=STOCK_COMMAND)
