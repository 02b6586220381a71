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
"""Runs a Dag from a file through Airflow's own ``dag.test()``: real task runner, real triggers, real XCom."""

from __future__ import annotations

import logging
import runpy
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

HEADER = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.databricks_air.operators.air import AirCancelRunOperator, AirRunOperator
from airflow.providers.databricks_air.sensors.air import AirRunSensor

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1), catchup=False) as dag:
"""


@dataclass
class Outcome:
    """What a Dag run ended as.

    :param states: state by task id.
    :param xcoms: ``return_value`` by task id.
    :param text: everything that was printed and logged.
    :param dag_id: the Dag.
    """

    states: dict[str, str]
    xcoms: dict[str, Any]
    text: str
    dag_id: str = ""


def run_and_tidy(dag: Any) -> Any:
    """Run a Dag as its author would, and return its Dag run.

    Airflow 2 leaves behind a handler that writes to the standard output of the test that began it.
    """
    task_log = logging.getLogger("airflow.task")
    handlers = list(task_log.handlers)
    try:
        return dag.test()
    finally:
        task_log.handlers[:] = handlers


class DagRunner:
    """Runs Dags in this process.

    :param folder: the Dags folder of this process's Airflow.
    :param capture: keeps what is printed.
    """

    def __init__(self, folder: Path, capture: Any) -> None:
        self.folder = folder
        self.capture = capture

    def run(self, body: str, **files: str) -> Outcome:
        """Run the tasks that *body* defines, and return what became of them.

        :param body: the indented body of the ``with DAG(...)`` block.
        :param files: text of files to put beside the Dag file, by name without ``.yaml``.
        """
        dag_id = f"story_{uuid4().hex[:8]}"
        here = self.folder / dag_id
        here.mkdir()
        for name, text in files.items():
            (here / f"{name}.yaml").write_text(textwrap.dedent(text))
        path = here / "dag.py"
        path.write_text(HEADER.format(dag_id=dag_id) + textwrap.indent(textwrap.dedent(body), "    "))
        dag = runpy.run_path(str(path))["dag"]
        self.capture.readouterr()
        dag_run = run_and_tidy(dag)
        printed = self.capture.readouterr()
        instances = dag_run.get_task_instances()
        return Outcome(
            {ti.task_id: str(getattr(ti.state, "value", ti.state)) for ti in instances},
            {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in instances},
            printed.out + printed.err,
            dag_id,
        )
